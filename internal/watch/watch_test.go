package watch

import (
	"os"
	"slices"
	"testing"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/procevents"
	"github.com/rtshield/rtshield/internal/shield"
)

// The numbers are above every process id (PID_MAX_LIMIT), so that nobody's threads are touched.
const first = 1 << 23

func TestAContainersProcessesAreThoseThatCameOfItsFirst(t *testing.T) {
	c := &container{grant: shield.Grant{Owner: shield.Owner{PID: first}}, processes: map[int]bool{first: true}}
	w := &watcher{root: host.Root(t.TempDir()), containers: map[shield.Key]*container{{}: c}}
	fork := func(parent, pid, tid int) procevents.Event {
		return procevents.Event{What: procevents.Fork, Parent: parent, PID: pid, TID: tid}
	}
	for _, step := range []struct {
		what   string
		event  procevents.Event
		want   []int
		ending bool
	}{
		{"it forks", fork(first, first+1, first+1), []int{first, first + 1}, false},
		{"and its child does", fork(first+1, first+2, first+2), []int{first, first + 1, first + 2}, false},
		{"a thread, of which the kernel names another parent", fork(1, first+1, first+9), []int{first, first + 1, first + 2}, false},
		{"what exec adds", fork(7, first+3, first+3), []int{first, first + 1, first + 2}, false},
		{"a thread ends", procevents.Event{What: procevents.Exit, PID: first + 1, TID: first + 9}, []int{first, first + 1, first + 2}, false},
		{"a process ends", procevents.Event{What: procevents.Exit, PID: first + 1, TID: first + 1}, []int{first, first + 2}, false},
		{"another gets a number that was its own", fork(7, first+2, first+2), []int{first}, false},
		{"its first ends", procevents.Event{What: procevents.Exit, PID: first, TID: first}, []int{first}, true},
	} {
		w.handle(step.event)
		var got []int
		for pid := range c.processes {
			got = append(got, pid)
		}
		if slices.Sort(got); !slices.Equal(got, step.want) || c.ending != step.ending {
			t.Errorf("%s: %v, ending %v", step.what, got, c.ending)
		}
	}
	if w.dropEnded(); len(w.containers) != 0 {
		t.Error("it has ended, and is still watched")
	}
}

func TestWhoStartsAWatcherSeesOneThatRuns(t *testing.T) {
	store := shield.Store{Dir: t.TempDir()}
	if Runs(store) {
		t.Error("there is none yet")
	}
	held, err := lock(store)
	if err != nil {
		t.Fatal(err)
	}
	if !Runs(store) {
		t.Error("it is not seen")
	}
	if _, err := lock(store); err != errRuns {
		t.Errorf("a second one: %v", err)
	}
	held.Close()
	if Runs(store) {
		t.Error("it has ended")
	}
	if again, err := lock(store); err != nil {
		t.Error(err)
	} else {
		again.Close()
	}
}

func TestWithoutRulesNoWatcherIsStarted(t *testing.T) {
	store := shield.Store{Dir: t.TempDir()}
	for _, grants := range [][]shield.Grant{nil, {{Bound: true}}, {{Threads: []shield.ThreadRule{{Name: "*"}}}}} {
		if err := Ensure(store, &shield.Ledger{Grants: grants}); err != nil {
			t.Errorf("%+v: %v", grants, err)
		}
	}
	if files, err := os.ReadDir(store.Dir); err != nil || len(files) != 0 {
		t.Errorf("%v, %v", files, err)
	}
}
