package runc_test

import (
	"testing"

	"github.com/rtshield/rtshield/integration/runc/rig"
	"github.com/rtshield/rtshield/integration/testhost"
)

func TestWaysOfTheL3AreRefusedWithTheReasonWhereTheHostCannot(t *testing.T) {
	rig.EachWith(t, testhost.Options{Classes: "[class.cached]\npolicy = \"fifo\"\nl3 = \"exclusive:4\"\n"}, func(r *rig.Rig) {
		if exists("/sys/fs/resctrl") {
			r.Skip("this host may be able to")
		}
		refusedWhole(r, "without resctrl", "json", r.Rtshield, r.Bundle("a", rig.Class("cached")),
			"asks for 4 ways of the L3 of its own (class cached, l3)", "this host cannot: /sys/fs/resctrl does not exist", "CONFIG_X86_CPU_RESCTRL")
	})
}
