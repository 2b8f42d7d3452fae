//go:build vmguest

package guest_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// Somebody names the CPUs of a partition in a cgroup beside it: systemd does so when it writes a unit's AllowedCPUs again.
func TestAPartitionThatSomebodySpoiledIsRepaired(t *testing.T) {
	once(t, func(r *rig) {
		if why := noPartition(r); why != "" {
			r.Skip("elsewhere: " + why)
		}
		r.begin("run", "a", class("fifo"))
		grant := r.grant("a")
		beside := mount + parent + "/beside"
		if err := os.Mkdir(beside, 0o755); err != nil {
			r.Fatal(err)
		}
		defer os.Remove(beside)
		if err := os.WriteFile(beside+"/cpuset.cpus", []byte("0-7"), 0); err != nil {
			r.Fatal(err)
		}
		spoiled := r.knob("a", "cpuset.cpus.partition")
		if strings.Contains(spoiled, "invalid") {
			r.Logf("limit: the kernel calls the partition %q until rtshield reconcile", spoiled)
		}
		r.must(r.oci("reconcile"))
		for i := range 2 {
			r.eventually(func() error { return equal(r.knob("a", "cpuset.cpus.partition"), "isolated") })
			r.eventually(func() error { return equal(r.knob("a", "cpuset.cpus.effective"), grant.CPUs.String()) })
			if now := parse(r, text(r, mount+"/cpuset.cpus.effective")); !now.Intersection(grant.CPUs.CPUSet).IsEmpty() {
				r.Errorf("round %d: all others may run on CPU %s; granted is %s", i, now, grant.CPUs)
			}
			if now := parse(r, text(r, beside+"/cpuset.cpus.effective")); !now.Intersection(grant.CPUs.CPUSet).IsEmpty() {
				r.Errorf("round %d: the cgroup beside may run on CPU %s", i, now)
			}
			r.must(r.oci("reconcile"))
		}
		r.end("a")
		if now := text(r, mount+"/cpuset.cpus.effective"); now != "0-7" {
			r.Errorf("after the end the host has CPU %s", now)
		}
		if err := os.Remove(beside); err != nil {
			r.Fatal(err)
		}
		r.asBefore("after the end")
	})
}

func equal(now, want string) error {
	if now != want {
		return fmt.Errorf("is %q, want %q", now, want)
	}
	return nil
}

// Linux 6.12 would lose the CPUs with the cgroup, until the next boot.
func TestASpoiledPartitionIsRepairedBeforeItsDelete(t *testing.T) {
	onRuncAndCrun(t, func(r *rig) {
		if why := noPartition(r); why != "" {
			r.Skip("elsewhere: " + why)
		}
		r.begin("run", "a", class("fifo"))
		beside := mount + parent + "/beside"
		if err := os.Mkdir(beside, 0o755); err != nil {
			r.Fatal(err)
		}
		defer os.Remove(beside)
		if err := os.WriteFile(beside+"/cpuset.cpus", []byte("0-7"), 0); err != nil {
			r.Fatal(err)
		}
		r.end("a")
		if err := os.Remove(beside); err != nil {
			r.Fatal(err)
		}
		r.must(r.oci("reconcile"))
		if now := text(r, mount+"/cpuset.cpus.effective"); now != "0-7" {
			r.Errorf("after the end the host has CPU %s", now)
		}
		r.asBefore("after the end")
	})
}
