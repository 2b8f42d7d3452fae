package manual

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rtshield/rtshield/internal/config"
	"github.com/rtshield/rtshield/internal/shield"
)

// Setting is a key of the policy file. Values is what the file's reader says that it expected of a value that cannot be meant.
// More is where docs/ has more of it, or empty.
type Setting struct{ Table, Key, Values, Default, Meaning, More string }

// Settings lists all keys, by their tables. Classes differ in what is built in: Default names them.
func Settings() []Setting {
	builtin := config.Default()
	settings := []Setting{
		{config.TableRuntime, "delegates", "", strings.Join(builtin.Delegates, ", "), "the runtimes that containers are handed to; the first found wins", ""},
		{config.TableRuntime, "state", "", builtin.State, "the directory of the ledger; one for a host", ""},
		{config.TableRuntime, "classes", "", "all", "the classes that containers may ask for, of this file and built in", "security.md"},
		{config.TableLayout, "shield", "", "auto", "the CPUs that can be granted; auto: those of isolcpus= and nohz_full=, else all but the first core", ""},
		{config.TableLayout, "reserve", "", "on-demand", "always: ordinary containers keep off the shield also while nobody has it", ""},
		{config.TableLayout, "cpus_from", "", shield.FromAuto, "who chooses the CPUs; auto: a static kubelet for its pods, rtshield for all others; engine: an update moves a container", "kubernetes.md"},
		{config.TableLayout, "kubelet", "", shield.DefaultKubelet, "where the kubelet's record is", "kubernetes.md"},
		{config.TableLayout, "level", "", "auto", "the strongest level that may be used; affinity leaves all other cgroups alone", ""},
		{config.TableLayout, "exempt", "", "none", "tasks that are never moved; status names them as limits", ""},
		{Key: "policy", Meaning: "the policy of the container's first thread, which others inherit"},
		{Key: "priority", Meaning: "that of a container which does not say"},
		{Key: "max_priority", Meaning: "the highest that a container may choose, and RLIMIT_RTPRIO"},
		{Key: "nice", Meaning: "the nice value, for policies other and batch"},
		{Key: "deadline", Meaning: "the bandwidth of policy deadline, and the greatest share that a container may choose"},
		{Key: "cpus", Meaning: "how many whole CPUs a container has that does not say"},
		{Key: "max_cpus", Meaning: "how many it may choose"},
		{Key: "shared", Meaning: "true: what a kubelet gave no CPUs of its own gets the policy without any", More: "kubernetes.md"},
		{Key: "smt", Meaning: "what becomes of the siblings of its CPUs, as in annotation smt", More: "placement.md"},
		{Key: "numa", Meaning: "on how many memory nodes its CPUs may be, as in annotation numa", More: "placement.md"},
		{Key: "near", Meaning: "a device whose node is wanted; empty: none", More: "placement.md"},
		{Key: "partition", Meaning: "the type of its cpuset partition; none does without"},
		{Key: "irq", Meaning: "whether device interrupts leave its CPUs"},
		{Key: "irq_claim", Meaning: "interrupts that containers may claim"},
		{Key: "require_level", Meaning: "the weakest level that will do; empty: any"},
		{Key: "rtprio", Meaning: "RLIMIT_RTPRIO up to max_priority, for programs that raise their own threads; require refuses where a host cannot"},
		{Key: "memlock", Meaning: "RLIMIT_MEMLOCK unlimited; require refuses where a host cannot"},
		{Key: "rttime", Meaning: "a thread that runs as long without waiting gets SIGXCPU, at twice that SIGKILL; 0: no bound"},
		{Key: "exec", Meaning: "demote: what exec adds is ordinary; inherit: it runs as the container does (runc 1.2)", More: "life.md"},
		{Key: "exec_cpus", Meaning: "where exec runs: the container's CPUs or housekeeping CPUs (runc 1.3, crun 1.19)", More: "life.md"},
		{Key: "ordinary", Meaning: "where the ordinary part of realtime-mask is: CPUs of its own or housekeeping CPUs", More: "threads.md"},
		{Key: "helpers", Meaning: "the engine's shim or conmon: on housekeeping CPUs, or left where it is", More: "life.md"},
		{Key: "l3", Meaning: "so many ways of the L3 that no other task fills", More: "memory.md"},
		{Key: "swap", Meaning: "off: it is never swapped (memory.swap.max, swappiness 0 on cgroup v1)", More: "memory.md"},
		{Key: "thp", Meaning: "never: no transparent huge pages", More: "memory.md"},
		{Key: "ksm", Meaning: "off: the kernel merges none of its memory with that of others", More: "memory.md"},
		{Key: "memory_policy", Meaning: "bind: linux.memoryPolicy on the nodes next to its CPUs, where the delegate knows it", More: "memory.md"},
		{Key: "hugepages", Meaning: "reserve: huge pages that are missing are reserved while the container lives", More: "memory.md"},
		{Key: "max_hugepages", Meaning: "how many a container may ask for; empty: no bound, and none reserved", More: "memory.md"},
		{Key: "cstates", Meaning: "how deep its CPUs may sleep", More: "power.md"},
		{Key: "governor", Meaning: "the cpufreq governor of its CPUs", More: "power.md"},
		{Key: "energy_performance_preference", Meaning: "what the processor prefers on its CPUs", More: "power.md"},
		{Key: "scaling_min_freq", Meaning: "the least frequency of its CPUs", More: "power.md"},
		{Key: "fair_server", Meaning: "off: ordinary tasks have no bandwidth of their own on its CPUs (Linux 6.12)", More: "power.md"},
	}
	for i := range settings {
		s := &settings[i]
		if s.Table == "" {
			s.Table, s.Default = config.TableClass, builtIn(s.Key)
		}
		s.Values = expected(s.Table, s.Key)
	}
	return settings
}

// builtIn tells what the built-in classes have: "50", or "20us; batch: keep" where one differs.
func builtIn(key string) string {
	if key == "policy" {
		return "that of the built-in class of its name"
	}
	var values []string
	by := map[string][]string{}
	for _, name := range order {
		for _, option := range config.Options(shield.BuiltinClasses()[name]) {
			if value := option.String(); option.Key == key {
				if by[value] == nil {
					values = append(values, value)
				}
				by[value] = append(by[value], name)
			}
		}
	}
	var parts []string
	for i, value := range values {
		if value == "" {
			value = "empty"
		}
		if i > 0 {
			value = strings.Join(by[values[i]], ", ") + ": " + value
		}
		parts = append(parts, value)
	}
	if len(parts) == 0 {
		return "empty"
	}
	return strings.Join(parts, "; ")
}

// expected asks the reader of the policy file, with values that cannot be meant.
func expected(table, key string) string {
	if table == config.TableClass {
		table += ".fifo"
	}
	for _, wrong := range []string{`"?"`, `["?/"]`, `[""]`, `-100`} {
		_, err := config.Parse("", fmt.Appendf(nil, "[%s]\n%s = %s\n", table, key, wrong))
		var option *shield.OptionError
		if errors.As(err, &option) && option.Option == key {
			return listed(option.Want)
		}
	}
	return "true, false" // the only type of which no value is wrong
}

// listed makes a list for people of `one of ["a" "b"]`.
func listed(want string) string {
	words, is := strings.CutPrefix(want, "one of [")
	if !is {
		return want
	}
	list := strings.Fields(strings.TrimSuffix(words, "]"))
	return strings.Join(slices.DeleteFunc(list, func(word string) bool { return word == `""` }), ", ")
}
