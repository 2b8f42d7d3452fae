package runtime

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/config"
	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/procevents"
	"github.com/rtshield/rtshield/internal/reconcile"
	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/runtime/delegate"
	"github.com/rtshield/rtshield/spec"
)

// matter is all that a decision about one container rests on. create and explain make the same one.
type matter struct {
	config   config.Config
	layout   shield.Layout
	facts    shield.Host
	document *spec.Document
	request  shield.Request
	delegate string
	traits   delegate.Traits
	hook     spec.Hook
	// helper is the process that waits for the container; 0 for none.
	helper int
	// thpOff: the delegate shall run without transparent huge pages; ksmOff: its memory shall not be merged.
	thpOff, ksmOff bool
	// given are CPUs that a kubelet gave to other pods.
	given cpuset.CPUSet
	// noted: a note of its CPU time was written.
	noted bool
}

// gather reads the bundle and the policy. errNothing means that config.json is not there or not JSON.
func gather(bundle, root, id, link string) (*matter, error) {
	document, err := spec.Load(bundle)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, spec.ErrNotJSON) {
		return nil, errNothing
	}
	if err != nil {
		return nil, err
	}
	m := &matter{document: document}
	if m.config, err = config.Load(); err != nil {
		return nil, err
	}
	if m.delegate, err = delegate.Find(m.config.Delegates); err != nil {
		return nil, err
	}
	key := shield.Key{Root: stateRoot(root, m.delegate), ID: id}
	if m.request, err = document.Request(key, link); err != nil {
		return nil, fmt.Errorf("container %s: %w", m.request.Name, err)
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	m.hook = spec.Hook{Program: program, State: m.config.State, Root: key.Root}
	return m, m.follow()
}

// inquire is survey for a container that asks. The delegate is asked here and not under the lock: it may hang.
func (m *matter) inquire() error {
	if err := m.survey(); err != nil {
		return err
	}
	terms, err := shield.Resolve(m.config.Classes, m.request)
	if err != nil {
		return err
	}
	if len(terms.Threads) > 0 && system == host.System { // the kernel speaks of no other host
		if err := procevents.Probe(); err != nil {
			return fmt.Errorf("container %s has rules for its threads (%s/%s), which nobody would tell us of: %w: leave the rules out, or use another host",
				m.request.Name, shield.Domain, shield.KeyThreads, err)
		}
	}
	if err := reconcile.Inquire(system, &m.facts, m.layout, m.request.Name, terms); err != nil {
		return err
	}
	m.traits, err = delegate.Identify(m.delegate, m.config.State)
	return err
}

// survey reads what the layout rests on. Ordinary containers on a host without grants never need it.
func (m *matter) survey() error {
	facts, err := reconcile.Host(system)
	if err != nil {
		return err
	}
	m.facts = facts
	m.facts.Given = m.given
	m.layout, err = shield.NewLayout(m.config.Layout, facts.Topology)
	return err
}

// grant decides and edits the document in memory. Nothing outside is changed.
func (m *matter) grant(ledger *shield.Ledger) (shield.Grant, error) {
	if err := m.surveyPages(ledger); err != nil {
		return shield.Grant{}, err
	}
	grant, err := shield.Decide(m.config.Classes, m.layout, m.facts, ledger, m.request)
	if err != nil {
		return grant, err
	}
	if choice, named := m.request.Choices[shield.KeyGovernor]; named && choice.Value != shield.Keep {
		if err := reconcile.CheckGovernor(system, grant.CPUs.CPUSet, choice.Value); err != nil {
			return grant, fmt.Errorf("annotation %s = %q: %w", choice.Source, choice.Value, err)
		}
	}
	rlimits, limits, err := rlimits(m.config.Classes[grant.Class], m.request)
	if err != nil {
		return grant, fmt.Errorf("container %s: %w", m.request.Name, err)
	}
	m.hook.Poststart = m.traits.LatePoststart()
	if m.config.Classes[grant.Class].Exec == shield.Inherit {
		if grant.Exec = shield.Inherit; !m.traits.ExecScheduler() {
			return grant, fmt.Errorf("class %s gives exec the container's policy (exec = %q), which %s %s cannot: take runc 1.2 or later, or exec = %q",
				grant.Class, shield.Inherit, m.traits.Name, m.traits.Version, shield.Demote)
		}
	}
	if grant.Mask != "" && !m.traits.ExecAffinity() {
		return grant, fmt.Errorf("realtime-mask %s keeps exec on the ordinary CPU %s, which %s %s cannot: take runc 1.3, crun 1.19 or later",
			grant.Mask, grant.Ordinary, m.traits.Name, m.traits.Version)
	}
	if !grant.ExecCPUs.IsEmpty() && !m.traits.ExecAffinity() {
		return grant, fmt.Errorf("class %s runs exec on housekeeping CPUs (exec_cpus = %q), which %s %s cannot: take runc 1.3, crun 1.19 or later, or exec_cpus = %q",
			grant.Class, shield.ExecOnHousekeeping, m.traits.Name, m.traits.Version, shield.ExecOnContainer)
	}
	grant.Limits = append(grant.Limits, limits...)
	if err := m.fits(grant.Share); err != nil {
		return grant, err
	}
	if err := m.memory(&grant, m.traits); err != nil {
		return grant, err
	}
	if grant.Bundle, err = filepath.Abs(filepath.Dir(m.document.Path)); err != nil {
		return grant, err
	}
	hugetlb, err := m.hugetlb(&grant)
	if err != nil {
		return grant, err
	}
	return grant, errors.Join(m.document.Shield(grant, rlimits, m.hook), m.document.GiveHugePages(hugetlb))
}

// rlimits are those that the class asks for and this host may give.
func rlimits(class shield.Class, request shield.Request) (give []spec.Rlimit, limits []shield.Limit, err error) {
	if class.RTTime != 0 && request.RTTime == nil {
		give = append(give, fuse(class.RTTime))
	}
	for _, wish := range []struct {
		want     shield.Wish
		option   string
		rlimit   spec.Rlimit
		resource int
	}{
		{class.RTPrio, "rtprio", spec.Same("RLIMIT_RTPRIO", uint64(class.MaxPriority)), unix.RLIMIT_RTPRIO},
		{class.Memlock, "memlock", spec.Same("RLIMIT_MEMLOCK", host.Unlimited), unix.RLIMIT_MEMLOCK},
	} {
		if wish.want == shield.Off {
			continue
		}
		if host.CanRaise(wish.resource, wish.rlimit.Hard) {
			give = append(give, wish.rlimit)
			continue
		}
		limit := shield.Limit{
			What: wish.rlimit.Type + " is not raised", Why: "this host may not raise a hard limit",
			Help: "give the engine CAP_SYS_RESOURCE, or start it with the limit raised",
		}
		if wish.want == shield.Require {
			return nil, nil, fmt.Errorf("class %s requires %s: %s: %s", class.Name, wish.option, limit.Why, limit.Help)
		}
		limits = append(limits, limit)
	}
	return give, limits, nil
}

// fuse ends a thread that runs as long without waiting for anything: SIGXCPU asks its program to let go, SIGKILL comes after
// as long again. It is never above a hard limit that this process has already.
func fuse(limit time.Duration) spec.Rlimit {
	soft := uint64(limit.Microseconds())
	hard := host.AtMost(unix.RLIMIT_RTTIME, 2*soft)
	return spec.Rlimit{Type: "RLIMIT_RTTIME", Soft: min(soft, hard), Hard: hard}
}

// stateRoot is where the delegate keeps its containers: ids are unique only below it.
func stateRoot(root, delegate string) string {
	if root == "" {
		root = "/run/runc"
		if strings.Contains(filepath.Base(delegate), "crun") {
			root = "/run/crun"
		}
	}
	if absolute, err := filepath.Abs(root); err == nil {
		root = absolute
	}
	return root
}

// linkClass is the class in the name that we were called by: rtshield-fifo gives fifo.
func linkClass(argv0 string) string {
	class, found := strings.CutPrefix(filepath.Base(argv0), "rtshield-")
	if !found {
		return ""
	}
	return class
}

// me is this process: the owner of a grant until the hook binds it. After execve the delegate is still me.
func me() (shield.Owner, error) {
	pid := os.Getpid()
	start, err := system.StartTime(pid)
	return shield.Owner{PID: pid, Start: start}, err
}

func (m *matter) store() (shield.Store, error) {
	bootID, err := system.BootID()
	return shield.Store{Dir: m.config.State, BootID: bootID}, err
}
