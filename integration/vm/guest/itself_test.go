//go:build vmguest

package guest_test

import (
	"os"
	"regexp"
	"strconv"
	"strings"
)

// movedLine is snapshot's line for an affinity that changed.
var movedLine = regexp.MustCompile(`^thread (\d+) \((.*)\) could run on \S+, now on (\S+)$`)

// noSetAffinity is PF_NO_SETAFFINITY: nobody but the kernel can have moved such a thread.
const noSetAffinity = 0x04000000

// ofItself says whether a difference is the kernel's own and no trace of rtshield: the rescuer of a per-CPU workqueue runs
// where it last helped, and the thread of an interrupt goes where the kernel now sends it, one CPU of those allowed, which
// need not be the one of before.
func ofItself(line string) bool {
	match := movedLine.FindStringSubmatch(line)
	if match == nil {
		return false
	}
	tid, name, now := match[1], match[2], match[3]
	if number, _, found := strings.Cut(strings.TrimPrefix(name, "irq/"), "-"); found && strings.HasPrefix(name, "irq/") {
		effective, err := os.ReadFile("/proc/irq/" + number + "/effective_affinity_list")
		return err == nil && strings.TrimSpace(string(effective)) == now
	}
	stat, err := os.ReadFile("/proc/" + tid + "/stat")
	if err != nil {
		return true // it has ended
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest) // from the third of proc(5) on; flags is the ninth
	if len(fields) < 7 {
		return false
	}
	flags, err := strconv.ParseUint(fields[6], 10, 64)
	return err == nil && flags&noSetAffinity != 0
}
