package check

import (
	"os"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/reconcile"
	"github.com/rtshield/rtshield/internal/shield"
)

func TestControllersThatATrialTurnsOnAreTurnedOffAgain(t *testing.T) {
	const control = "sys/fs/cgroup/cgroup.subtree_control"
	root := fit.with(files{control: "memory pids", "sys/fs/cgroup/cgroup.controllers": "cpuset cpu memory pids"}).make(t)
	made, err := reconcile.MakeTrial(root, true)
	if err != nil || made.Dir != "/sys/fs/cgroup/rtshield-check+cpu+cpuset" {
		t.Fatalf("%+v, %v", made, err)
	}
	if now := read(t, root, control); now != "+cpuset" { // the last of the writes
		t.Errorf("turned on: %s", now)
	}
	// As the next one would find it after a kill.
	if !reconcile.TrialLeft(root) {
		t.Error("it is not found")
	}
	reconcile.CleanTrial(root)
	if now := read(t, root, control); now != "-cpu" || reconcile.TrialLeft(root) {
		t.Errorf("turned off: %s, left: %v", now, reconcile.TrialLeft(root))
	}
	root = fit.make(t)
	if made, err = reconcile.MakeTrial(root, true); err != nil || made.Dir != "/sys/fs/cgroup/rtshield-check" || !strings.Contains(read(t, root, control), "memory") {
		t.Errorf("where they are on: %+v, %v", made, err)
	}
}

// What somebody else has put there is not taken away, and not waited for.
func TestCleaningLeavesOthersAlone(t *testing.T) {
	root := fit.with(files{"sys/fs/cgroup/rtshield-checkered/x": "", "sys/fs/cgroup/rtshield-check/child/x": ""}).make(t)
	reconcile.CleanTrial(root)
	for _, path := range []string{"sys/fs/cgroup/rtshield-checkered", "sys/fs/cgroup/rtshield-check/child"} {
		if _, err := os.Stat(root.Path(path)); err != nil {
			t.Error(err)
		}
	}
}

func TestATrialTakesNoMoreThanItTries(t *testing.T) {
	full := shield.Grant{
		Key: shield.Key{Root: "r", ID: "i"}, CPUs: shield.CPUsOf(cpuset.New(2)), Idle: shield.CPUsOf(cpuset.New(3)), Policy: shield.FIFO, Priority: 50,
		IRQ: "away", Power: shield.Power{CStates: "20us", Governor: "performance"}, Level: shield.LevelPartition, Partition: shield.Isolated,
		Budget: shield.Budget{Runtime: 1, Period: 2}, Claim: []string{"eth0"},
	}
	trial := bare(full)
	if trial.IRQ != "keep" || trial.Power.String() != "" || len(trial.Claim) > 0 || trial.Created.After(time.Now()) {
		t.Errorf("%+v", trial)
	}
	if held := trial.Held(); held.String() != "2-3" || trial.Level != shield.LevelPartition || trial.Partition != shield.Isolated || trial.Budget != full.Budget {
		t.Errorf("what is tried is not in it: %+v", trial)
	}
	full.Level = shield.LevelCpuset // nothing of that needs to be tried, and other tasks would be moved for it
	if trial := bare(full); !trial.Held().IsEmpty() || trial.Level != "" || trial.Budget != full.Budget {
		t.Errorf("without a partition: %+v", trial)
	}
}

func TestRunningContainersAreProofEnough(t *testing.T) {
	for _, c := range []struct {
		grant           shield.Grant
		fifo, partition string
	}{
		{shield.Grant{Name: "a", Policy: shield.FIFO, Priority: 50, Level: shield.LevelPartition, Bound: true, CPUs: shield.CPUsOf(cpuset.New(1))},
			"container a runs fifo 50", "container a has CPU 1 as a partition"},
		{shield.Grant{Name: "a", Policy: shield.Other, Level: shield.LevelCpuset, Bound: true}, "", ""},
		{shield.Grant{Name: "a", Policy: shield.FIFO, Priority: 50, Level: shield.LevelPartition}, "", ""}, // it is not made yet
	} {
		if fifo, partition := proofs([]shield.Grant{c.grant}, shield.FIFO); fifo != c.fifo || partition != c.partition {
			t.Errorf("%+v: %q, %q", c.grant, fifo, partition)
		}
	}
}
