package reconcile

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"
	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/sched"
	"github.com/rtshield/rtshield/internal/host/task"
	"github.com/rtshield/rtshield/internal/shield"
)

// Pin keeps a thread of a container on the CPUs of its first process and gives what it may run on now.
func Pin(tid int, grant shield.Grant) (cpuset.CPUSet, error) {
	return pinTo(tid, grant, grant.Home().CPUSet)
}

// pinTo keeps it on some of the container's CPUs. For all that were granted it is told all CPUs but those of exec: since Linux
// 6.2 the kernel remembers that, also for CPUs that the container moves to.
func pinTo(tid int, grant shield.Grant, cpus cpuset.CPUSet) (cpuset.CPUSet, error) {
	mask := task.MaskOf(cpus)
	if !grant.Pinned && cpus.Equals(grant.CPUs.CPUSet) {
		mask.Fill()
		for _, cpu := range grant.ExecCPUs.UnsortedList() {
			mask.Clear(cpu)
		}
	}
	if err := task.SetAffinityMask(tid, mask); err != nil {
		return cpuset.New(), err
	}
	return task.Affinity(tid)
}

// Strays gives the threads of a container that may run on the CPUs of exec and should not. Its program can give them these;
// before Linux 6.2 the kernel gives them to all threads of a cpuset that is written, or that a CPU goes offline in.
func Strays(root host.Root, grant shield.Grant) ([]shield.Setting, error) {
	if !grant.Bound || grant.ExecCPUs.IsEmpty() {
		return nil, nil
	}
	lent := task.MaskOf(grant.ExecCPUs.CPUSet)
	var strays []shield.Setting
	err := walkCgroups(root, grant.Cgroups.Cpuset, func(dir string) error {
		tids, err := task.In(root, dir)
		if gone(err) || errors.Is(err, unix.EOPNOTSUPP) { // a threaded subtree's inner directory
			return nil
		}
		for _, tid := range tids {
			mask, maskErr := task.AffinityMask(tid)
			if maskErr == nil && !task.Intersect(mask, lent) {
				continue
			}
			attr, attrErr := sched.Get(tid)
			stat, statErr := task.Read(root, tid)
			problem := errors.Join(maskErr, attrErr, statErr)
			if gone(problem) {
				continue // it has ended
			}
			if problem != nil {
				return problem
			}
			if cpus := task.SetOf(mask); grant.Strays(cpus, attr.RealTime()) {
				strays = append(strays, shield.Setting{
					Knob: threadKnob(tid, stat), Label: stat.Comm, Now: cpus.String(), Want: grant.Belongs(attr.RealTime()).String(),
				})
			}
		}
		return err
	})
	return strays, err
}

// keepOwn brings them back. Nothing is noted of them: they end with their container.
func keepOwn(root host.Root, ledger *shield.Ledger, report *Report) error {
	for _, grant := range ledger.Grants {
		strays, err := Strays(root, grant)
		if err != nil {
			return err
		}
		for _, stray := range strays {
			was := stray.Now
			tid, _ := strconv.Atoi(threadID(stray.Knob))
			want, _ := cpuset.Parse(stray.Want)
			now, err := pinTo(tid, grant, want)
			switch {
			case gone(err):
			case err != nil:
				report.Refused = append(report.Refused, Refusal{stray, err})
			default:
				stray.Now = now.String()
				report.Changed = append(report.Changed, Change{stray, was})
			}
		}
	}
	return nil
}
