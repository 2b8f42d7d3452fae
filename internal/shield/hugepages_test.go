package shield

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

const (
	mega = 1 << 20
	giga = 1 << 30
)

// poolsOf gives pools of 2Mi pages with so many free on each node.
func poolsOf(free ...int64) PagePools {
	nodes := map[int]PagePool{}
	for node, count := range free {
		nodes[node] = PagePool{Free: count, Used: map[Key]int64{}}
	}
	return PagePools{2 * mega: nodes, giga: {0: {Used: map[Key]int64{}}, 1: {Used: map[Key]int64{}}}}
}

func reserving() map[string]Class {
	classes := BuiltinClasses()
	fifo := classes["fifo"]
	fifo.HugePages, fifo.MaxHugePages = Reserve, []Pages{{2 * mega, 64}}
	classes["fifo"] = fifo
	return classes
}

func TestSizesOfHugePagesAreReadAsPeopleWriteThem(t *testing.T) {
	for text, want := range map[string][]Pages{
		"1Gi=2, 2Mi=64": {{giga, 2}, {2 * mega, 64}}, "2M=1": {{2 * mega, 1}}, "2MB=1,64KiB=3": {{2 * mega, 1}, {64 << 10, 3}}, " 1G = 1 ": {{giga, 1}},
	} {
		if got, err := ParsePages(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q is read as %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "2Mi", "2Mi=0", "2Mi=-1", "2Mi=x", "3Mi=1", "2=1", "=1", "2Mi=1,", "2Mi=1, 2M=2", "2Mi=99999999999", "4294967295Gi=1", "2mi=1", "2Mi=1;1Gi=1"} {
		if got, err := ParsePages(text); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q is read as %v, %v", text, got, err)
		}
	}
}

// FuzzHugePages: what is taken reads back as what it was taken for.
func FuzzHugePages(f *testing.F) {
	for _, text := range []string{"1Gi=2, 2Mi=64", "64Ki=1", "2MB=3", "", "=", "2Mi=1,2Mi=1", "4096Gi=1", "1Mi=1073741824"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list, err := ParsePages(text)
		if err != nil {
			if len(err.Error()) > 800 || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q: %q", text, err)
			}
			return
		}
		var words []string
		for _, pages := range list {
			words = append(words, pages.String())
		}
		if again, err := ParsePages(strings.Join(words, ",")); err != nil || !reflect.DeepEqual(again, list) {
			t.Errorf("%q is written %q and read as %v, %v", text, words, again, err)
		}
	})
}

func TestHugePagesAreThoseOfTheGrantsNode(t *testing.T) {
	topo := twoNodes(t)
	layout := layoutOf(t, topo, "1-7,9-15")
	limits := func(list ...HugePages) func(*Request) { return func(r *Request) { r.HugePages = list } }
	two := func(bytes uint64) HugePages { return HugePages{"2MB", 2 * mega, bytes} }
	other := Grant{Key: Key{"/r", "other"}, Name: "other", Bound: true, CPUs: cpus(t, "1"), HugePages: []PageShare{{Size: 2 * mega, Node: 0, Count: 3}}}
	using := func(pools PagePools) PagePools { pools[2*mega][0].Used[other.Key] = 2; return pools }
	coming := other // not bound yet: what is reserved for it is not in the pool
	coming.Bound, coming.HugePages = false, []PageShare{{Size: 2 * mega, Node: 0, Count: 3, Reserved: 2}}
	for _, c := range []struct {
		name    string
		classes map[string]Class
		pools   PagePools
		grants  []Grant
		choices []string
		edit    func(*Request)
		want    string // shares, or words of the error
	}{
		{"enough", BuiltinClasses(), poolsOf(4, 0), nil, []string{"hugepages", "2Mi=4", "cpuset", "2"}, nil, "[2Mi=4 on node 0]"},
		{"short by one", BuiltinClasses(), poolsOf(4, 9), nil, []string{"hugepages", "2Mi=5", "cpuset", "2"}, nil,
			"container web asks for 5 huge pages of 2Mi; memory node 0 next to its CPU 2 has 4 to give (node 0: 4 free; node 1: 9 free): reserve more there (/sys/devices/system/node/node*/hugepages), ask for fewer, or choose CPUs of node 1"},
		{"short everywhere", BuiltinClasses(), poolsOf(4, 4), nil, []string{"hugepages", "2Mi=5"}, nil, "node 0: 4 free; node 1: 4 free): reserve more there (/sys/devices/system/node/node*/hugepages), ask for fewer"},
		{"on the other node alone, and the CPUs follow", BuiltinClasses(), poolsOf(4, 5), nil, []string{"hugepages", "2Mi=5"}, nil, "[2Mi=5 on node 1]"},
		{"promised to another", BuiltinClasses(), poolsOf(4, 0), []Grant{other}, []string{"hugepages", "2Mi=2", "cpuset", "2"}, nil, "has 1 to give (node 0: 4 free, 3 of them for other"},
		{"in use by that other", BuiltinClasses(), using(poolsOf(4, 0)), []Grant{other}, []string{"hugepages", "2Mi=3", "cpuset", "2"}, nil, "[2Mi=3 on node 0]"},
		{"one that is being made has what is reserved still to come", BuiltinClasses(), poolsOf(4, 0), []Grant{coming}, []string{"hugepages", "2Mi=3", "cpuset", "2"}, nil, "[2Mi=3 on node 0]"},
		{"what is missing is reserved", reserving(), poolsOf(4, 9), nil, []string{"hugepages", "2Mi=6", "cpuset", "2"}, nil, "[2Mi=6 on node 0 (2 reserved for it)]"},
		{"all is reserved", reserving(), poolsOf(0, 0), nil, []string{"hugepages", "2Mi=6", "cpuset", "2"}, nil, "[2Mi=6 on node 0 (6 reserved for it)]"},
		{"above the class's ceiling", reserving(), poolsOf(99, 99), nil, []string{"hugepages", "2Mi=65"}, nil, "asks for 65 huge pages of 2Mi; class fifo allows at most 64"},
		{"a size that the ceiling leaves out", reserving(), poolsOf(99, 99), nil, []string{"hugepages", "1Gi=1"}, nil, "class fifo allows at most 0"},
		{"a size that the host has not", BuiltinClasses(), poolsOf(4, 4), nil, []string{"hugepages", "16Mi=1"}, nil, "this host has none of that size (it has 2Mi, 1Gi)"},
		{"a host without any", BuiltinClasses(), nil, nil, []string{"hugepages", "2Mi=1"}, nil, "it has none at all"},
		{"two nodes", BuiltinClasses(), poolsOf(4, 4), nil, []string{"hugepages", "2Mi=6", "cpuset", "2,5"}, nil, "[2Mi=4 on node 0 2Mi=2 on node 1]"},
		{"the engine's limit alone", BuiltinClasses(), poolsOf(4, 0), nil, []string{"cpuset", "2"}, limits(two(10*mega), HugePages{"1GB", giga, 0}), "asks for 5 huge pages of 2Mi"},
		{"the engine's limit, and enough", BuiltinClasses(), poolsOf(5, 0), nil, []string{"cpuset", "2"}, limits(two(10 * mega)), "[2Mi=5 on node 0]"},
		{"engine and annotation agree", BuiltinClasses(), poolsOf(5, 0), nil, []string{"hugepages", "2Mi=5", "cpuset", "2"}, limits(two(10 * mega)), "[2Mi=5 on node 0]"},
		{"the engine allows none", BuiltinClasses(), poolsOf(5, 0), nil, []string{"hugepages", "2Mi=5"}, limits(two(0)),
			"annotation rtshield.io/hugepages asks for 5 huge pages of 2Mi, but the engine limits the container to 0 (linux.resources.hugepageLimits; a pod's hugepages-2Mi)"},
		{"bad form", BuiltinClasses(), poolsOf(5, 0), nil, []string{"hugepages", "five"}, nil, `annotation rtshield.io/hugepages = "five": expected sizes of huge pages, each with a number, such as "1Gi=2, 2Mi=64"`},
	} {
		request := asks("web", c.choices...)
		if c.edit != nil {
			c.edit(&request)
		}
		ledger := &Ledger{Grants: c.grants}
		grant, err := Decide(c.classes, layout, Host{Topology: topo, Level: LevelCpuset, Cpusets: true, HugePages: c.pools}, ledger, request)
		got := fmt.Sprint(grant.HugePages)
		if err != nil {
			got = err.Error()
		}
		if got != c.want && (err == nil || !strings.Contains(got, c.want)) {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
		for _, share := range grant.HugePages {
			if !grant.Mems.Contains(share.Node) {
				t.Errorf("%s: %v, but its memory is on node %s", c.name, share, grant.Mems)
			}
		}
	}
}

// Whoever comes and goes in whatever order: a pool is as large as before, and as much more as is reserved for those who are here.
func TestReservedHugePagesGoBackInAnyOrder(t *testing.T) {
	reserved := map[string]int64{"a": 2, "b": 3, "c": 1}
	for _, order := range []string{"+a+b-a-b", "+a+b-b-a", "+a+b+c-b-a-c", "+a-a+b-b", "+c+a-c+b-a-b"} {
		ledger, kernel, sum := &Ledger{}, int64(7), int64(7)
		knob := PageShare{Size: 2 * mega, Node: 1}.Knob()
		for i := 0; i < len(order); i += 2 {
			name := order[i+1 : i+2]
			if order[i] == '+' {
				ledger.Add(Grant{Key: Key{"/r", name}, Bound: true, HugePages: []PageShare{{Size: 2 * mega, Node: 1, Count: 9, Reserved: reserved[name]}}})
				sum += reserved[name]
			} else {
				ledger.Release(Key{"/r", name})
				sum -= reserved[name]
			}
			for _, setting := range Plan(ledger, Observation{HugePages: map[Knob]int64{knob: kernel}}) {
				if setting.Baseline != "7" || setting.Want != fmt.Sprint(sum) {
					t.Errorf("%s after %s: %+v, want %d", order, order[:i+2], setting, sum)
				}
				ledger.Note(knob, setting.Baseline)
				if setting.Want == setting.Baseline {
					delete(ledger.Baselines, knob.String())
				}
				kernel = sum
			}
			if kernel != sum {
				t.Fatalf("%s after %s: the plan leaves %d pages, want %d", order, order[:i+2], kernel, sum)
			}
		}
	}
}

func TestAContainerWithHugePagesStaysOnItsNode(t *testing.T) {
	topo, layout, ledger := moving(t)
	grant := *ledger.Grant(Key{"/r", "a"})
	grant.HugePages = []PageShare{{Size: 2 * mega, Node: 1, Count: 2}}
	for to, want := range map[string]string{"5": "", "2": "has huge pages on node 1 and cannot move to CPU 2, next to node 0"} {
		if _, err := Relocate(BuiltinClasses(), layout, topo, ledger, grant, cpus(t, to)); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("to CPU %s: %v, want %q", to, err, want)
		}
	}
}
