package main

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rtshield/rtshield/internal/host/procevents"
)

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		of   []time.Duration
		want time.Duration
	}{
		{nil, 0},
		{[]time.Duration{7}, 7},
		{[]time.Duration{9, 1, 5}, 5},
		{[]time.Duration{8, 2, 4, 100}, 6},
	} {
		if got := median(test.of); got != test.want {
			t.Errorf("median of %v: got %d, want %d", test.of, got, test.want)
		}
	}
}

// The order must alternate, and the first pairs must not count.
func TestMeasure(t *testing.T) {
	var order strings.Builder
	calls := 0
	do := func(name string, ms time.Duration) func(context.Context) (time.Duration, error) {
		return func(context.Context) (time.Duration, error) {
			order.WriteString(name)
			if calls++; calls <= 2*warmUp {
				return time.Hour, nil
			}
			return ms * time.Millisecond, nil
		}
	}
	c := benchCase{name: "x", limit: 1.5, runc: do("A", 10), rtshield: do("B", 12)}
	got, err := c.measure(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	if order.String() != "ABBAABBA" {
		t.Errorf("order %s", order.String())
	}
	if got.ratio() != 1.2 {
		t.Errorf("ratio %v of %+v", got.ratio(), got)
	}
}

// A runtime of Go opens files in any of its threads.
func TestFilesAreCountedForThePartWhoseThreadOpensThem(t *testing.T) {
	traces := map[string]string{
		"1": "execve(\"/bin/rtshield\", [\"rtshield\", \"run\"], 0x7ffc /* 9 vars */) = 0\n" +
			"openat(AT_FDCWD, \"/config.json\", O_RDONLY|O_CLOEXEC) = 3\n" +
			"openat(AT_FDCWD, \"/nosuch\", O_RDONLY) = -1 ENOENT (No such file or directory)\n" +
			"clone(child_stack=0xc00, flags=CLONE_VM|CLONE_THREAD) = 2\n" +
			"execve(\"/bin/runc\", [\"runc\", \"run\"], 0x7ffc /* 9 vars */) = 0\n" +
			"openat(AT_FDCWD, \"/runc\", O_WRONLY) = 3\n" +
			"clone3({flags=CLONE_VFORK}, 88) = 3\n",
		"2": "openat(AT_FDCWD, \"/ledger.json.new\", O_WRONLY|O_CREAT, 0600) = 4\n",
		"3": "execve(\"/bin/rtshield\", [\"rtshield\", \"hook\", \"poststop\"], 0x7ffc /* 9 vars */) = 0\nclone(child_stack=0xc00) = 4\n",
		"4": "openat(AT_FDCWD, \"/proc/irq/1\", O_RDWR) = 4\n",
	}
	want := []touched{{"create, before runc", 1, 1}, {"hook createRuntime", 0, 0}, {"hook poststop", 0, 1}}
	if got := countFiles(traces, "/bin/rtshield"); !slices.Equal(got, want) {
		t.Errorf("got %+v", got)
	}
}

func TestOnlyTheProgramsOwnTimeIsAddedUp(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	pid := os.Getpid()
	event := func(what uint32, at time.Duration, thread, process int) procevents.Event {
		return procevents.Event{What: what, At: at, TID: thread, PID: process}
	}
	const another = 1 // init is another program
	w := &watcher{program: self, began: map[int]time.Duration{}}
	for _, e := range []procevents.Event{
		event(procevents.Exec, 100, another, another), event(procevents.Exec, 200, pid, pid), event(procevents.Exit, 250, pid+1, pid),
		event(procevents.Exit, 300, another, another), event(procevents.Exit, 500, pid, pid), event(procevents.Exit, 600, pid, pid),
	} {
		w.event(e)
	}
	if w.sum != 300 {
		t.Errorf("ran from 200 to 500 ns: got %v", w.sum)
	}
	w.began[another] = 1000
	w.event(event(procevents.Exec, 1070, another, another))
	if w.sum != 370 {
		t.Errorf("was another program 70 ns later: got %v in all", w.sum)
	}
}
