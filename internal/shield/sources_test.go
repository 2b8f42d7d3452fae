package shield

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// from gives where each decision is from: what it is, its value, and the source, or the option that the policy file may have.
func from(t *testing.T, classes map[string]Class, layout Layout, host Host, request Request) map[string]string {
	t.Helper()
	terms, err := Resolve(classes, request)
	if err != nil {
		t.Fatal(err)
	}
	grant, err := Decide(classes, layout, host, &Ledger{}, request)
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]string{}
	for _, source := range Sources(request, terms, layout, host, grant) {
		if _, twice := told[source.What]; twice || source.From == "" && len(source.Option) == 0 {
			t.Errorf("%s: told twice, or of no source", source.What)
		}
		told[source.What] = fmt.Sprintf("%s: %s%s", source.Value, source.From, source.Option)
	}
	return told
}

func TestEachDecisionHasItsSource(t *testing.T) {
	topo := twoNodes(t)
	host := Host{Topology: topo, Level: LevelCpuset, Weaker: "a partition takes cgroup v2 and Linux 6.7"}
	scheduled := asks("a", "irq", "keep")
	delete(scheduled.Choices, "class")
	scheduled.Scheduler = &Scheduler{Policy: "SCHED_RR", Priority: 20}
	linked := Request{Key: Key{ID: "a"}, Name: "a", LinkClass: "fifo", CPUs: "2-3", Choices: Choices{}}
	for name, c := range map[string]struct {
		request Request
		level   string
		want    map[string]string
	}{
		"annotations": {asks("a", "cpus", "2", "policy", "fifo", "priority", "60", "smt", "prefer", "cstates", "off", "cpu-bandwidth", "50%"), "", map[string]string{
			"class": "fifo: annotation rtshield.io/class[]", "pool": "CPU 1-7,9-15: automatic: all but the first core[layout shield]",
			"cpus": "2: CPU 1,9: annotation rtshield.io/cpus[]", "policy": "fifo: annotation rtshield.io/policy[]", "priority": "60: annotation rtshield.io/priority[]",
			"smt": "prefer: annotation rtshield.io/smt[]", "cstates": "off: annotation rtshield.io/cstates[]", "cpu-bandwidth": "50%: annotation rtshield.io/cpu-bandwidth[]",
			"numa": "prefer: [class fifo numa]", "irq": "away: [class fifo irq]", "governor": "performance: [class fifo governor]",
			"level": "cpuset: a partition takes cgroup v2 and Linux 6.7[]",
		}},
		"a link, and the engine's cpuset": {linked, LevelAffinity, map[string]string{
			"class": "fifo: runtime name rtshield-fifo[]", "cpus": "2: CPU 2-3: linux.resources.cpu.cpus[]", "policy": "fifo: [class fifo policy]",
			"priority": "50: [class fifo priority]", "level": "affinity: [layout] level allows no more[layout level]",
		}},
		"process.scheduler": {scheduled, "", map[string]string{
			"class": "rr: process.scheduler SCHED_RR[]", "policy": "rr: process.scheduler.policy[]", "priority": "20: process.scheduler.priority[]",
			"cpus": "1: CPU 1: [class rr cpus]", "irq": "keep: annotation rtshield.io/irq[]",
		}},
		"deadline": {asks("a", "class", "deadline", "deadline", "200us/1ms/1ms"), LevelCpuset, map[string]string{
			"deadline": "200µs/1ms/1ms: annotation rtshield.io/deadline[]", "policy": "deadline: [class deadline policy]",
			"level": "cpuset: a partition takes cgroup v2 and Linux 6.7[]",
		}},
		"named for one container of a pod": {func() Request {
			request := asks("ctl")
			request.Choices["cpuset"] = Choice{Value: "4", Source: "cpuset.rtshield.io/ctl"}
			return request
		}(), "", map[string]string{"cpus": "1: CPU 4: annotation cpuset.rtshield.io/ctl[]"}},
	} {
		layout := layoutOf(t, topo, "auto")
		layout.Level = c.level
		got := from(t, BuiltinClasses(), layout, host, c.request)
		for what, want := range c.want {
			if got[what] != want {
				t.Errorf("%s: %s is %q, want %q", name, what, got[what], want)
			}
		}
		if _, told := got["near"]; told {
			t.Errorf("%s: what nobody asks for is told", name)
		}
	}
	strongest := from(t, BuiltinClasses(), layoutOf(t, topo, "auto"), Host{Topology: topo, Level: LevelPartition}, asks("a"))
	if want := "partition: the strongest that there is, and this kernel has it[]"; strongest["level"] != want {
		t.Errorf("level %q, want %q", strongest["level"], want)
	}
}

// What an annotation decides has the annotation for its source, whichever it is.
func TestEveryAnnotationIsItsOwnSource(t *testing.T) {
	classes := BuiltinClasses()
	class := classes["fifo"]
	class.IRQClaim = []string{"*"}
	classes["fifo"] = class
	topo := twoNodes(t)
	host := Host{Topology: topo, Level: LevelCpuset, Interrupts: map[int][]string{5: {"eth1"}}, HugePages: nil}
	for key, value := range map[string]string{
		KeyCPUs: "2", KeyCPUSet: "2-3", KeyPolicy: "rr", KeyPriority: "7", KeySMT: "require", KeyNUMA: "any", KeyIRQ: "keep", KeyPartition: "none",
		KeyCStates: "50us", KeyGovernor: "powersave", KeyRealtimeMask: "^0", KeyThreads: "ctl-*=fifo:60", KeyRTBandwidth: "80%", KeyCPUBandwidth: "50%",
	} {
		request := asks("a", KeyCPUs, "2", key, value)
		if key == KeyCPUSet {
			delete(request.Choices, KeyCPUs)
		}
		var told []string
		for what, source := range from(t, classes, layoutOf(t, topo, "auto"), host, request) {
			if strings.Contains(source, ": annotation "+Domain+"/"+key+"[]") {
				told = append(told, what)
			}
		}
		if !slices.Equal(told, []string{key}) && !(key == KeyCPUSet && slices.Equal(told, []string{KeyCPUs})) {
			t.Errorf("annotation %s is the source of %q", key, told)
		}
	}
}

func TestAnOrdinaryContainerIsToldWhyItIsOne(t *testing.T) {
	plain := OrdinarySources(Request{Choices: Choices{KeyCPUBandwidth: {Value: "50%", Source: "rtshield.io/cpu-bandwidth"}}})
	if len(plain) != 2 || !strings.Contains(plain[0].From, "neither the runtime's name") || plain[1].From != "annotation rtshield.io/cpu-bandwidth" {
		t.Errorf("%+v", plain)
	}
	if pause := OrdinarySources(Request{Sandbox: true}); !strings.Contains(pause[0].From, "sandbox") {
		t.Errorf("%+v", pause)
	}
}
