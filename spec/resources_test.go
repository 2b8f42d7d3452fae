package spec_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/spec"
)

func TestAnUpdateIsReadAsRuncReadsIt(t *testing.T) {
	for text, want := range map[string]shield.Update{
		`{}`:           {},
		`null`:         {},
		`{"cpu":null}`: {},
		`{"cpu":{"cpus":"2-3","mems":"1","quota":-1,"shares":1024}} and more`: {CPUs: "2-3", Mems: "1", Quota: -1},
		`{"Cpu":{"CPUS":"2"}}`: {CPUs: "2"},
		`{"cpu":{"realtimeRuntime":10,"realtimePeriod":20,"idle":1}}`:           {RTRuntime: 10, RTPeriod: 20, Idle: 1},
		`{"cpu":{"cpus":"2"},"unified":{"cpuset.cpus":"3","cpuset.mems":"0"}}`:  {CPUs: "3", Mems: "0"},
		`{"unified":{"cpu.max":"max 100000","cpu.idle":"0","memory.high":"1"}}`: {Quota: -1},
		`{"unified":{"cpu.max":"5000 100000","cpu.idle":"1"}}`:                  {Quota: 5000, Idle: 1},
		`{"unified":{"cpuset.cpus.exclusive":"1"}}`:                             {Other: []string{"cpuset.cpus.exclusive"}},
	} {
		resources, err := spec.ParseResources([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if update, err := resources.Update(); err != nil || !reflect.DeepEqual(update, want) {
			t.Errorf("%s is read as %+v (%v), want %+v", text, update, err, want)
		}
	}
	for _, text := range []string{"", "{", "[]", `"x"`, `{"cpu":"x"}`, `{"cpu":{"cpus":1}}`, `{"cpu":{"quota":"x"}}`, `{"unified":{"cpu.max":7}}`} {
		resources, err := spec.ParseResources([]byte(text))
		if err == nil {
			_, err = resources.Update()
		}
		if !errors.Is(err, spec.ErrNotJSON) {
			t.Errorf("%q: %v, want the delegate's own words", text, err)
		}
	}
	for _, text := range []string{`{"cpu":{"cpus":"1","Cpus":"2"}}`, `{"cpu":{"cpus":"2","cpus":"3"}}`} {
		if _, err := spec.ParseResources([]byte(text)); err == nil || errors.Is(err, spec.ErrNotJSON) || !strings.Contains(err.Error(), "twice") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestARewrittenUpdateKeepsWhatItDoesNotKnow(t *testing.T) {
	resources, err := spec.ParseResources([]byte(`{"memory":{"limit":9007199254740993},"CPU":{"quota":1,"period":2,"burst":3,"realtimeRuntime":4,"shares":5},"unified":{"cpuset.cpus":"0","cpu.max":"1 2","new.key":"x"},"newer":[1,{"a":null}]}`))
	if err != nil {
		t.Fatal(err)
	}
	one, _ := shield.ParseCPUs("1")
	node, _ := shield.ParseCPUs("0")
	resources.Keep(one, node, shield.Share{})
	want := `{"cpu":{"cpus":"1","mems":"0","shares":5},"memory":{"limit":9007199254740993},"newer":[1,{"a":null}],"unified":{"new.key":"x"}}`
	if got := string(resources.JSON()); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	bare, err := spec.ParseResources([]byte(`{"memory":{"limit":1}}`))
	if err != nil {
		t.Fatal(err)
	}
	bare.SetCPUs(one)
	if got := string(bare.JSON()); got != `{"cpu":{"cpus":"1"},"memory":{"limit":1}}` {
		t.Error(got)
	}
}

func TestAnAddedProcessChangesInItsSchedulerAndItsCPUsAlone(t *testing.T) {
	for text, want := range map[string]string{
		`{"args":["a"],"scheduler":{"policy":"SCHED_FIFO"},"cwd":"/"}`: `{"args":["a"],"cwd":"/"}`,
		`{"Scheduler":1,"scheduler":2,"x":9007199254740993}`:           `{"x":9007199254740993}`,
	} {
		process, err := spec.ParseProcess([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if process.Demote(); string(process.JSON()) != want {
			t.Errorf("%s: %s, want %s", text, process.JSON(), want)
		}
	}
	for text, want := range map[string]string{
		`{"args":["a"]}`: `{"args":["a"],"execCPUAffinity":{"final":"0,2","initial":"0,2"}}`,
		`{"ExecCpuAffinity":{"initial":"5"},"execCPUAffinity":null,"x":9007199254740993}`: `{"execCPUAffinity":{"final":"0,2","initial":"0,2"},"x":9007199254740993}`,
	} {
		process, err := spec.ParseProcess([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		cpus, err := shield.ParseCPUs("0,2")
		if err != nil {
			t.Fatal(err)
		}
		if process.RunOn(shield.Grant{ExecCPUs: cpus}); string(process.JSON()) != want {
			t.Errorf("%s: %s, want %s", text, process.JSON(), want)
		}
	}
	if _, err := spec.ParseProcess([]byte("null")); !errors.Is(err, spec.ErrNotJSON) {
		t.Error(err)
	}
}
