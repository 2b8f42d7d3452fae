package reconcile

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/shield"
)

// trialName is that of the cgroup in which rtshield check tries what a container would have.
const trialName = "rtshield-check"

// TrialKey is that of its grant. It is in the ledger before the cgroup is made, and until that is gone: whoever drops it takes
// the cgroup away.
var TrialKey = shield.Key{Root: trialName, ID: trialName}

// TrialCgroup is where it is tried, below the mount of the hierarchy.
type TrialCgroup struct{ Mount, Dir string }

// MakeTrial makes it where groups have budgets, or partitions. On cgroup v2 the controllers have to be on in the root, as the
// first container would have them; those that are turned on for it are part of its name, so that CleanTrial turns them off again.
func MakeTrial(root host.Root, cpusets bool) (TrialCgroup, error) {
	at, err := trialPlace(root)
	if err != nil {
		return TrialCgroup{}, err
	}
	name := trialName
	var turnOn []string
	if at.Unified {
		can, _ := root.Read(at.Mount, "cgroup.controllers")
		on, _ := root.Read(at.Mount, "cgroup.subtree_control")
		for _, controller := range []string{"cpu", "cpuset"} {
			wanted := controller == "cpu" || cpusets
			if wanted && slices.Contains(strings.Fields(can), controller) && !slices.Contains(strings.Fields(on), controller) {
				name, turnOn = name+"+"+controller, append(turnOn, controller)
			}
		}
	}
	p := TrialCgroup{at.Mount, filepath.Join(at.Mount, name)}
	if err := os.Mkdir(root.Path(p.Dir), 0o755); err != nil {
		return TrialCgroup{}, err
	}
	for _, controller := range turnOn {
		// "cpu" is refused where RT_GROUP_SCHED meets real-time threads below the root; engines do without it then, too.
		if err := root.Write("+"+controller, at.Mount, "cgroup.subtree_control"); err != nil && controller == "cpuset" {
			CleanTrial(root)
			return TrialCgroup{}, err
		}
	}
	return p, nil
}

// trialPlace is the hierarchy of the cpu controller, else whichever there is.
func trialPlace(root host.Root) (host.Controller, error) {
	at, found, err := root.Controller(os.Getpid(), "cpu")
	if err == nil && !found {
		at, found, err = root.Cgroup(os.Getpid())
	}
	if err == nil && !found {
		err = errors.New("this host has no cgroups")
	}
	return at, err
}

// TrialLeft says whether the cgroup of a trial is there: one is going on, or was killed.
func TrialLeft(root host.Root) bool { return len(trialsLeft(root)) > 0 }

func trialsLeft(root host.Root) (left []TrialCgroup) {
	at, err := trialPlace(root)
	if err != nil {
		return nil
	}
	names, _ := root.Subdirectories(at.Mount)
	for _, name := range names {
		if base, _, _ := strings.Cut(name, "+"); base == trialName {
			left = append(left, TrialCgroup{at.Mount, filepath.Join(at.Mount, name)})
		}
	}
	return left
}

// CleanTrial takes it away, after the ledger has released what belongs to it. Only under the ledger's lock.
func CleanTrial(root host.Root) {
	for _, p := range trialsLeft(root) {
		deadline := time.Now().Add(time.Second)
		err := os.Remove(root.Path(p.Dir))
		for errors.Is(err, unix.EBUSY) && time.Now().Before(deadline) { // its thread is about to end
			time.Sleep(5 * time.Millisecond)
			err = os.Remove(root.Path(p.Dir))
		}
		if err != nil {
			continue
		}
		_, on, _ := strings.Cut(filepath.Base(p.Dir), "+")
		for _, controller := range slices.Backward(strings.FieldsFunc(on, func(r rune) bool { return r == '+' })) {
			_ = root.Write("-"+controller, p.Mount, "cgroup.subtree_control") // unless somebody needs it by now (EBUSY)
		}
	}
}
