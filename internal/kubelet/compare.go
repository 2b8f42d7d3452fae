package kubelet

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/shield"
)

// Finding is one thing about which the kubelet and rtshield are at odds.
type Finding struct {
	// Grave: a container will be refused, or two are promised the same CPU. Else something is weaker than it could be.
	Grave bool
	What  string
	Why   string
	Help  string
	// CPUs are those that it is about. Empty: none in particular.
	CPUs cpuset.CPUSet
}

// Node is a kubelet's side. Either may be nil: not there, or not found.
type Node struct {
	Config *Config
	State  *State
}

// Load reads what is below a kubelet's directory ([layout] kubelet; "" is the usual one). What is not there is nil, and no error.
func Load(root host.Root, dir string) (Node, error) {
	dir = shield.LayoutSpec{Kubelet: dir}.KubeletDir()
	config, err := LoadConfig(root, dir)
	if err != nil {
		return Node{}, err
	}
	state, err := LoadState(root, dir)
	return Node{Config: config, State: state}, err
}

// Ours is rtshield's side.
type Ours struct {
	Layout shield.Layout
	// CPUsFrom is [layout] cpus_from, "" for auto.
	CPUsFrom string
	Grants   []shield.Grant
	Topology shield.Topology
	// Threads: some class or request wants whole cores or idle siblings, so that threads of a core matter.
	Threads bool
}

// Compare says on which CPUs both count, and what would make their promises weaker than they are meant. In order: the grave
// ones first.
func Compare(node Node, ours Ours) []Finding {
	var findings []Finding
	add := func(finding ...Finding) { findings = append(findings, finding...) }
	if !node.static() {
		if node.Config == nil && node.State == nil {
			return nil
		}
		if ours.CPUsFrom == shield.FromEngine {
			add(Finding{
				Grave: true, What: "the kubelet's CPU manager has policy none, and [layout] cpus_from is engine",
				Why:  "it gives no container CPUs of its own, so that every pod that asks for a class is refused",
				Help: "set cpuManagerPolicy: static, or cpus_from = \"auto\"",
			})
		}
		add(unknowing(ours)...)
		return findings
	}
	if ours.CPUsFrom == shield.FromRtshield {
		add(Finding{
			Grave: true, What: "the kubelet gives CPUs away (cpuManagerPolicy: static), and [layout] cpus_from is rtshield",
			Why:  "what it writes of its shared pool into a container counts as a wish for just these CPUs",
			Help: "set cpus_from = \"auto\"",
		})
	}
	add(layouts(node, ours)...)
	add(grants(node.State, ours)...)
	add(options(node, ours)...)
	slices.SortStableFunc(findings, func(a, b Finding) int { return cmp.Compare(rank(a), rank(b)) })
	return findings
}

func rank(f Finding) int {
	if f.Grave {
		return 0
	}
	return 1
}

// static says whether the CPU manager gives CPUs away. The state is what runs; the configuration may have been changed since.
func (n Node) static() bool {
	if n.State != nil {
		return n.State.Policy == shield.StaticManager
	}
	return n.Config != nil && n.Config.CPUManagerPolicy == shield.StaticManager
}

// unknowing: a kubelet without the static policy counts CPUs that rtshield takes away.
func unknowing(ours Ours) []Finding {
	if ours.Layout.Pool.IsEmpty() {
		return nil
	}
	return []Finding{{
		What: fmt.Sprintf("the kubelet counts CPU %s for all pods, and rtshield grants them to some", ours.Layout.Pool),
		Why:  "its CPU manager has policy none: the scheduler does not know of what is taken from the others",
		Help: "set cpuManagerPolicy: static and reservedSystemCPUs: \"" + ours.Layout.Housekeeping.String() + "\"", CPUs: ours.Layout.Pool.CPUSet,
	}}
}

// layouts compares what each keeps for the system.
func layouts(node Node, ours Ours) []Finding {
	var findings []Finding
	house, pool := ours.Layout.Housekeeping.CPUSet, ours.Layout.Pool.CPUSet
	reserve := "set reservedSystemCPUs: \"" + house.String() + "\""
	if node.Config != nil && !node.Config.Reserved.IsEmpty() {
		reserved := node.Config.Reserved
		if gives := house.Difference(reserved); !gives.IsEmpty() {
			findings = append(findings, Finding{
				Grave: true, What: fmt.Sprintf("the kubelet may give CPU %s to a pod, and rtshield keeps house there", gives),
				Why:  "a pod that asks for a class and gets one of them is refused",
				Help: reserve + ", or put them into [layout] shield", CPUs: gives,
			})
		}
		if idle := pool.Intersection(reserved); !idle.IsEmpty() {
			findings = append(findings, Finding{
				What: fmt.Sprintf("CPU %s are in rtshield's shield, and the kubelet never gives them to a pod (reservedSystemCPUs)", idle),
				Why:  "only containers that are no pod's can have them, and they are taken from what the kubelet reserves for the system",
				Help: reserve + ", or leave them out of [layout] shield", CPUs: idle,
			})
		}
	} else if node.Config != nil {
		why := "reservedSystemCPUs is not set"
		if node.Config.ReservesTime {
			why = "kubeReserved and systemReserved say how many CPUs, and not which"
		}
		findings = append(findings, Finding{
			Grave: true, What: fmt.Sprintf("nothing keeps the kubelet from giving CPU %s to a pod, and rtshield keeps house there", house),
			Why: why, Help: reserve, CPUs: house,
		})
	}
	if node.State != nil {
		var outside []string
		beyond := cpuset.New()
		for _, owner := range node.State.owners() {
			if out := node.State.Given[owner].Difference(pool); !out.IsEmpty() {
				outside, beyond = append(outside, owner.String()), beyond.Union(out)
			}
		}
		if len(outside) > 0 {
			findings = append(findings, Finding{
				What: fmt.Sprintf("the kubelet has given CPU %s away (%s), and they are not in rtshield's shield (%s)", beyond, strings.Join(outside, ", "), orNone(pool)),
				Why:  "with a class such a pod is refused; without one it shares its CPUs with the host's own work",
				Help: reserve + ", or widen [layout] shield", CPUs: beyond,
			})
		}
	}
	if ours.Layout.ReserveAlways && node.State != nil {
		if both := node.State.Shared.Intersection(pool); !both.IsEmpty() {
			findings = append(findings, Finding{
				What: fmt.Sprintf("the kubelet's shared pool has CPU %s, and [layout] reserve = \"always\" keeps other containers off them", both),
				Why:  "pods without CPUs of their own have less than the scheduler counts with",
				Help: "set reserve = \"on-demand\", or strict-cpu-reservation and pods that take the rest", CPUs: both,
			})
		}
	}
	return findings
}

// grants finds the CPUs that both have given away.
func grants(state *State, ours Ours) []Finding {
	if state == nil {
		return nil
	}
	var findings []Finding
	for _, grant := range ours.Grants {
		held := grant.Held().CPUSet
		for _, owner := range state.owners() {
			if owner.Pod != "" && owner.Pod == grant.Pod.UID { // its own, or that of an init container before it
				continue
			}
			if both := held.Intersection(state.Given[owner]); !both.IsEmpty() {
				findings = append(findings, Finding{
					Grave: true, What: fmt.Sprintf("CPU %s is container %s's by rtshield, and container %s's by the kubelet", both, grant.Name, owner),
					Why:  "the kubelet does not know of containers that are no pod's, nor of siblings that are kept idle: the one that comes second is refused, or runs elsewhere if it asks for no class",
					Help: "stop one, and give containers that are no pod's CPUs of reservedSystemCPUs", CPUs: both,
				})
			}
		}
		if both := held.Intersection(state.Shared); grant.Pod.UID == "" && !both.IsEmpty() {
			findings = append(findings, Finding{
				What: fmt.Sprintf("CPU %s is container %s's, and the kubelet counts it for its pods", both, grant.Name),
				Why:  "that container is no pod's: pods of the shared pool have less, and one that is given this CPU with a class is refused",
				Help: "give it CPUs of reservedSystemCPUs, which are in [layout] shield", CPUs: both,
			})
		}
	}
	return findings
}

// options: without them a pod may get threads of a core whose others somebody else has, or CPUs of two nodes.
func options(node Node, ours Ours) []Finding {
	if node.Config == nil {
		return nil
	}
	var findings []Finding
	smt := slices.ContainsFunc(ours.Topology.Cores, func(core cpuset.CPUSet) bool { return core.Size() > 1 })
	if smt && ours.Threads && !node.Config.Option("full-pcpus-only") {
		findings = append(findings, Finding{
			Grave: true, What: "the kubelet may give a pod one thread of a core, and the other to somebody else",
			Why:  "a class with smt isolate or require refuses such a pod",
			Help: "set cpuManagerPolicyOptions: full-pcpus-only: \"true\", or smt = \"prefer\" in the class",
		})
	}
	if len(ours.Topology.Nodes) > 1 && node.Config.TopologyManagerPolicy != "single-numa-node" {
		findings = append(findings, Finding{
			What: "the kubelet may give a pod CPUs of several NUMA nodes",
			Why:  "rtshield takes them as they are, or refuses them (numa single)", Help: "set topologyManagerPolicy: single-numa-node",
		})
	}
	return findings
}

func (s *State) owners() []Owner {
	return slices.SortedFunc(maps.Keys(s.Given), func(a, b Owner) int {
		return cmp.Or(cmp.Compare(a.Pod, b.Pod), cmp.Compare(a.Container, b.Container))
	})
}

func orNone(cpus cpuset.CPUSet) string {
	if cpus.IsEmpty() {
		return "none"
	}
	return cpus.String()
}
