package check

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/utils/cpuset"

	hostcpuset "github.com/rtshield/rtshield/internal/host/cpuset"
	"github.com/rtshield/rtshield/internal/host/rt"
	"github.com/rtshield/rtshield/internal/host/sched"
	"github.com/rtshield/rtshield/internal/promise"
	"github.com/rtshield/rtshield/internal/reconcile"
	"github.com/rtshield/rtshield/internal/shield"
)

// trial is what was tried: a grant is made as create and its hook make one, in a cgroup of its own with one thread in it, and
// released. It is in the ledger meanwhile. Killed on the way, it is cleaned up as any container that ended without a release.
type trial struct {
	policy, partition attempt
	// managed are the interrupts that the kernel did not let be written; nil: none was written.
	managed []string
	// notTried says why nothing was.
	notTried string
}

// attempt is one thing that may have been tried.
type attempt struct {
	done bool
	err  error
	// proof is what shows it without a trial, why the reason for none.
	proof, why string
	budget     shield.Budget
	cpus       shield.CPUs
}

func (t trial) tried() bool { return t.policy.done || t.partition.done }

// untried is a trial that there is none of.
func untried(why string) trial {
	return trial{policy: attempt{why: why}, partition: attempt{why: why}, notTried: why}
}

// errInterrupted: somebody has pressed Ctrl-C, and all is back.
var errInterrupted = errors.New("interrupted; what was tried is undone")

// try makes the trial under the ledger's lock.
func (v *view) try() (t trial, err error) {
	if v.refused != nil {
		return untried("a container would be refused"), nil
	}
	session, err := v.Store.Open("check")
	if err != nil {
		return trial{}, err
	}
	defer session.Close()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer signal.Stop(stop)
	if t, err = v.tryUnder(session); err == nil && len(stop) > 0 {
		err = errInterrupted
	}
	return t, err
}

func (v *view) tryUnder(session *shield.Session) (trial, error) {
	if reconcile.Stale(v.Root, session.Ledger) {
		if _, err := reconcile.Run(v.Root, session); err != nil {
			return trial{}, err
		}
	}
	reconcile.CleanTrial(v.Root)
	if len(session.Grants) == 0 && reconcile.UnknownError(v.Root, v.Store, session.Ledger) != nil {
		return untried("a container of another ledger runs"), nil
	}
	t := untried("")
	t.policy.proof, t.partition.proof = proofs(session.Grants, v.class.Policy)
	var err error
	if !v.Root.AtLeast(6, 12) {
		if t.managed, err = v.refusedIRQs(); err != nil {
			return t, err
		}
	}
	if t.policy.proof != "" && (t.partition.proof != "" || v.grant.Level != shield.LevelPartition) {
		return t, nil
	}
	grant, _, err := v.decide(session.Ledger)
	if err != nil { // the shield is full
		t.policy.why, t.partition.why = err.Error(), err.Error()
		return t, nil
	}
	if grant.Level != shield.LevelPartition {
		t.partition.why = "containers have level " + grant.Level + " beside those that run"
	}
	err = v.carryOut(session, bare(grant), &t)
	return t, err
}

// proofs are the containers that have now what would be tried.
func proofs(grants []shield.Grant, wanted shield.Policy) (policy, partition string) {
	for _, grant := range grants {
		if grant.Bound && grant.Policy == wanted {
			policy = fmt.Sprintf("container %s runs %s", grant.Name, grant.PolicyText())
		}
		if grant.Bound && grant.Level == shield.LevelPartition {
			partition = fmt.Sprintf("container %s has CPU %s as a partition", grant.Name, grant.CPUs)
		}
	}
	return policy, partition
}

// bare leaves of a grant what is tried: the partition, and the budget of a real-time thread. Interrupts, irqbalance, sleep
// states and frequencies are left alone, and at another level the CPUs too: their other tasks would be moved for nothing.
func bare(grant shield.Grant) shield.Grant {
	trial := shield.Grant{
		Key: grant.Key, Name: "rtshield check", Class: grant.Class, Policy: grant.Policy, Priority: grant.Priority, Deadline: grant.Deadline, IRQ: "keep",
		Mems: grant.Mems, Budget: grant.Budget, Created: time.Now().UTC().Truncate(time.Second), LeaveHelper: true,
	}
	if grant.Level == shield.LevelPartition {
		trial.CPUs, trial.Idle, trial.Level, trial.Partition, trial.Local = grant.CPUs, grant.Idle, grant.Level, grant.Partition, grant.Local
	} else {
		trial.CPUs, trial.Idle = shield.CPUsOf(cpuset.New()), shield.CPUsOf(cpuset.New())
	}
	return trial
}

// carryOut makes the grant, and takes it back whatever comes.
func (v *view) carryOut(session *shield.Session, grant shield.Grant, t *trial) (err error) {
	start, err := v.Root.StartTime(os.Getpid())
	if err != nil {
		return err
	}
	grant.Owner, grant.Bound = shield.Owner{PID: os.Getpid(), Start: start}, true
	// It holds nothing, but that its cgroup is to be taken away.
	empty := shield.Grant{Key: grant.Key, Name: grant.Name, Class: grant.Class, IRQ: grant.IRQ, Owner: grant.Owner, Created: grant.Created}
	session.Housekeeping, session.Exempt = v.layout.Housekeeping, v.layout.Exempt
	session.Add(empty)
	if err := session.Save(); err != nil {
		return err
	}
	defer func() {
		session.Release(grant.Key)
		err = errors.Join(err, session.Save())
	}()
	cgroup, err := reconcile.MakeTrial(v.Root, grant.Level == shield.LevelPartition)
	if err != nil {
		t.policy.why, t.partition.why = err.Error(), err.Error()
		return nil
	}
	defer reconcile.CleanTrial(v.Root)
	thread, err := startThread()
	if err != nil {
		return err
	}
	defer thread.end()
	if err := v.Root.Write(strconv.Itoa(thread.pid), cgroup.Dir, "cgroup.procs"); err != nil {
		return err
	}
	if grant.Level == shield.LevelPartition {
		grant.Cgroups.Cpuset, grant.Cgroups.Partition = cgroup.Dir, []string{cgroup.Dir}
		t.partition = attempt{done: true, cpus: grant.CPUs, err: hostcpuset.SetCPUs(v.Root, cgroup.Dir, grant.CPUs.CPUSet)}
	}
	if grant.Budget.Period > 0 {
		if grant.Cgroups.Budgets, err = rt.Chain(v.Root, cgroup.Mount, cgroup.Dir); err != nil {
			return err
		}
	}
	session.Add(grant)
	defer func() {
		thread.end() // a real-time thread would hold the budget of its cgroup (EBUSY)
		session.Add(empty)
		report, undoErr := reconcile.Run(v.Root, session)
		if err = errors.Join(err, undoErr); err == nil {
			err = report.Stuck(session.Ledger)
		}
	}()
	report, err := reconcile.Run(v.Root, session)
	if err != nil {
		return err
	}
	v.judge(grant, report, thread.pid, t)
	return nil
}

// judge reads back what came of it.
func (v *view) judge(grant shield.Grant, report reconcile.Report, pid int, t *trial) {
	t.policy = attempt{done: true, budget: grant.Budget}
	for _, refused := range report.Refused {
		switch {
		case !grant.Needs(refused.Knob):
		case refused.Kind == shield.RTBudget:
			t.policy.err = fmt.Errorf("of the real-time budget %s µs are needed in %s, which has %s: %w", refused.Want, refused.Name, refused.Now, refused.Err)
		default:
			t.partition.err = errors.Join(t.partition.err, fmt.Errorf("%s: %w", reconcile.KnobPath(refused.Knob), refused.Err))
		}
	}
	if grant.Level == shield.LevelPartition && t.partition.err == nil {
		dir := grant.Cgroups.Cpuset
		kind, err := hostcpuset.PartitionType(v.Root, dir)
		now, errNow := hostcpuset.Effective(v.Root, dir)
		switch {
		case err != nil || errNow != nil:
			t.partition.err = errors.Join(err, errNow)
		case kind != grant.Partition || !now.Equals(grant.CPUs.CPUSet):
			t.partition.err = fmt.Errorf("it is %q, with CPU %s", kind, now)
		}
	}
	switch {
	case t.policy.err != nil:
	case grant.Policy == shield.Deadline && grant.Level != shield.LevelPartition: // elsewhere the kernel wants it on all CPUs
		t.policy = attempt{why: "policy deadline on some CPUs takes a partition"}
	default:
		t.policy.err = setPolicy(pid, grant)
	}
}

// setPolicy gives a thread the policy, and reads it back.
func setPolicy(pid int, grant shield.Grant) error {
	if err := promise.SetPolicy(pid, grant); err != nil {
		return err
	}
	now, err := sched.Get(pid)
	if err == nil && now != promise.Attr(grant) {
		err = fmt.Errorf("it has policy %d, priority %d", now.Policy, now.Priority)
	}
	return err
}
