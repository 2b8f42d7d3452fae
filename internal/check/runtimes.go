package check

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/internal/engine"
	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/kubelet"
	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/internal/verify"
)

// services: what else on this host changes the same settings.
func services(v *view) []Finding {
	f := Finding{Name: "other tuners", Mark: Good, Looked: []string{"/proc/*/comm"}, Found: "neither tuned nor power-profiles-daemon runs"}
	var names []string
	for _, name := range verify.Meddlers(v.Root) {
		switch name {
		case "tuned":
			if profile, err := v.Root.Read("etc/tuned/active_profile"); err == nil && profile != "" {
				name += " (profile " + profile + ")"
			}
		case "power-profiles-":
			name = "power-profiles-daemon"
		default:
			continue // irqbalance is told
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return one(f)
	}
	f.Mark, f.Found = Limit, joined(names)+" runs"
	f.Why = "it may set what rtshield has set for a container: governor, energy preference, and tuned also interrupts and masks"
	f.Do = []string{"rtshield verify names it when it has; to be sure: systemctl disable --now " + strings.Fields(names[0])[0]}
	return one(f)
}

// Delegate is a runtime that the policy names.
type Delegate struct {
	// Path is "" for one that was not found, and Err says why.
	Path, Name, Version string
	// Cannot names what containers cannot ask for with this one.
	Cannot []string
	Err    error
}

// String names a delegate with its version and its path.
func (d Delegate) String() string {
	switch {
	case d.Err != nil:
		return d.Path + " (" + d.Err.Error() + ")"
	case d.Name == "":
		return d.Path
	}
	return fmt.Sprintf("%s %s (%s)", d.Name, d.Version, d.Path)
}

func delegates(v *view) []Finding {
	f := Finding{Name: "delegate", Mark: Good, Looked: []string{"[runtime] delegates", "--version of each"}}
	if len(v.Delegates) == 0 || v.Delegates[0].Err != nil {
		f.Mark, f.Found = Fail, "none"
		if len(v.Delegates) > 0 {
			f.Found = v.Delegates[0].Err.Error()
		}
		f.Why = "rtshield hands the running of containers to a real OCI runtime"
		f.Do = []string{v.distro.install("runc")}
		return one(f)
	}
	used := v.Delegates[0]
	f.Found = used.String()
	if len(used.Cannot) > 0 {
		f.Mark, f.Found = Limit, f.Found+" cannot do "+joined(used.Cannot)
		f.Why = "containers and classes that ask for that are refused, or have it as a limit"
		f.Do = []string{"take runc 1.4 or later, and name it in [runtime] delegates"}
	}
	for _, other := range v.Delegates[1:] {
		f.Found += "; beside it " + other.String()
	}
	return one(f)
}

// rlimits: limits that the class raises and this process may not. An engine that runs as another service may be allowed more.
func rlimits(v *view) []Finding {
	if v.Root != host.System || v.Privilege != nil {
		return nil
	}
	f := Finding{Name: "limits", Mark: Good, Looked: []string{"setrlimit(2) of this process"}, Found: "RLIMIT_RTPRIO and RLIMIT_MEMLOCK can be raised"}
	var missing []string
	for _, wish := range []struct {
		name     string
		want     shield.Wish
		resource int
		value    uint64
	}{{"RLIMIT_RTPRIO", v.class.RTPrio, unix.RLIMIT_RTPRIO, uint64(v.class.MaxPriority)}, {"RLIMIT_MEMLOCK", v.class.Memlock, unix.RLIMIT_MEMLOCK, host.Unlimited}} {
		if wish.want != shield.Off && !host.CanRaise(wish.resource, wish.value) {
			missing = append(missing, wish.name)
		}
	}
	if len(missing) > 0 {
		f.Mark, f.Found = Limit, strings.Join(missing, " and ")+" cannot be raised from here"
		f.Why = "programs that make their own threads real-time, or lock their memory, are refused by the kernel unless they have the capabilities"
		f.Do = []string{"give the engine CAP_SYS_RESOURCE (LimitRTPRIO=, LimitMEMLOCK= of its service), or start it with the limits raised"}
	}
	return one(f)
}

// node: what the kubelet of this host and rtshield both count on.
func node(v *view) []Finding {
	spec := v.Policy.Layout
	dir := spec.KubeletDir()
	f := Finding{Name: "kubelet", Mark: Good, Looked: []string{dir + "/cpu_manager_state", "its configuration"}}
	theirs, err := kubelet.Load(v.Root, dir)
	switch {
	case err != nil && v.Privilege != nil:
		return unread(f.Name, f.Looked, v.Privilege)
	case err != nil:
		f.Mark, f.Found, f.Why = Fail, err.Error(), "without it nobody knows which CPUs are free"
		f.Do = []string{fmt.Sprintf("mend it, or set [layout] cpus_from = %q", shield.FromRtshield)}
		return one(f)
	case theirs == kubelet.Node{}:
		return nil
	}
	at := kubelet.Compare(theirs, kubelet.Ours{
		Layout: v.layout, CPUsFrom: spec.CPUsFrom, Grants: v.ledger.Grants, Topology: v.facts.Topology, Threads: v.class.SMT != shield.SMTPrefer,
	})
	var findings []Finding
	for _, odd := range at {
		mark := Limit
		if odd.Grave {
			mark = Fail
		}
		findings = append(findings, Finding{Name: f.Name, Mark: mark, Looked: f.Looked, Found: odd.What, Why: odd.Why, Do: []string{odd.Help}})
	}
	if len(findings) == 0 {
		f.Found = "it counts on no CPU that rtshield counts on"
		findings = one(f)
	}
	return findings
}

// engines: those on this host, and whether they know a runtime that is this program.
func engines(v *view) (findings []Finding) {
	for _, e := range engine.Engines() {
		program := engineProgram(v.Root, e)
		if program == "" {
			continue
		}
		f := Finding{Name: e.Name, Mark: Limit, Looked: []string{program, e.Config}}
		f.Do = []string{fmt.Sprintf("rtshield install %s --class %s", e.Name, v.class.Name)}
		f.Why = "it starts no container through rtshield"
		runtimes, err := e.Runtimes(v.Root.Path(e.Config))
		ours, stale := v.ours(runtimes)
		switch {
		case errors.Is(err, engine.ErrNoCRI):
			f.Mark, f.Found, f.Why, f.Do = Good, "serves no Kubernetes (disabled_plugins), but an engine that brings its own runtimes", "", nil
		case err != nil:
			f.Found, f.Do = err.Error(), nil
		case len(stale) > 0:
			f.Mark, f.Found, f.Why = Fail, "has "+joined(stale)+", and there is no such program", "containers that ask for that runtime do not start"
		case len(ours) == 0:
			f.Found = "does not know rtshield"
		default:
			f.Mark, f.Found, f.Why, f.Do = Good, "knows "+joined(ours), "", nil
		}
		findings = append(findings, f)
	}
	if len(findings) == 0 {
		findings = one(Finding{
			Name: "engine", Mark: Limit, Looked: []string{engine.Names()}, Found: "none is installed",
			Why: "an engine starts the containers", Do: []string{v.distro.install(v.distro.dockerPackage())},
		})
	}
	return findings
}

// ours are the runtimes whose program is rtshield, by name; stale those whose program is gone.
func (v *view) ours(runtimes map[string]string) (ours, stale []string) {
	for _, name := range slices.Sorted(maps.Keys(runtimes)) {
		program := runtimes[name]
		if base := filepath.Base(program); base != "rtshield" && !strings.HasPrefix(base, "rtshield-") {
			continue
		}
		if _, err := os.Stat(v.Root.Path(program)); err != nil {
			stale = append(stale, name+" = "+program)
			continue
		}
		ours = append(ours, name)
	}
	return ours, stale
}

// engineProgram says where an engine's program is, "" for none.
func engineProgram(root host.Root, e engine.Engine) string {
	for _, dir := range []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"} {
		path := filepath.Join(dir, e.Program)
		if info, err := os.Stat(root.Path(path)); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	return ""
}
