package spec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runc/libcontainer/specconv"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/rtshield/rtshield/internal/shield"
)

// runcReads is a config.json as runc reads it: loadSpec and validateProcessSpec of its program, and the conversion that
// create begins with. nil: it refuses the text.
func runcReads(data []byte) *specs.Spec {
	decode := func() (spec *specs.Spec) {
		if json.NewDecoder(bytes.NewReader(data)).Decode(&spec) != nil {
			return nil
		}
		return spec
	}
	spec := decode()
	if spec == nil || spec.Process == nil || !filepath.IsAbs(spec.Process.Cwd) || len(spec.Process.Args) == 0 || !converts(spec) {
		return nil
	}
	return decode() // the conversion changes it
}

func converts(spec *specs.Spec) (ok bool) {
	defer func() {
		if recover() != nil { // what makes runc panic it does not accept
			ok = false
		}
	}()
	_, err := specconv.CreateLibcontainerConfig(&specconv.CreateOpts{CgroupName: "x", Spec: spec})
	return err == nil
}

// FuzzConfig: runc is the judge of what a config.json says and whether it may be run.
func FuzzConfig(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.json")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		written := runcReads(data)
		text, tail := head(data)
		if text == nil {
			if written != nil {
				t.Errorf("runc reads it, and we do not: %q", data)
			}
			return
		}
		document := &Document{Path: "config.json", disk: text, user: text, data: text, tail: tail}
		request, err := document.Request(shield.Key{ID: "x"}, "")
		if written != nil {
			checkRequest(t, data, written, request, err)
		}
		if err != nil {
			return
		}
		if err := document.Shield(testGrant(t, "1"), testRlimits, testHook); err != nil {
			if written != nil && document.unambiguous() == nil {
				t.Errorf("runc accepts it, and it cannot be shielded: %v\n%s", err, data)
			}
			return
		}
		checkTakenBack(t, text, document)
		if written == nil {
			return // runc says so itself, of this text or of the edited one
		}
		shielded := runcReads(slices.Concat(document.data, tail))
		if shielded == nil {
			t.Fatalf("runc accepts\n%s\nand not\n%s", data, document.data)
		}
		checkLimited(t, data, text)
		if want := granted(written); !reflect.DeepEqual(want, shielded) {
			t.Errorf("shielded, runc reads\n%s\nwant\n%s", asText(shielded), asText(want))
		}
	})
}

// checkLimited: an ordinary container with a bound is as it was written, but for that.
func checkLimited(t *testing.T, data, text []byte) {
	document := &Document{Path: "config.json", disk: text, user: text, data: text}
	if err := document.Limit(half); err != nil {
		t.Fatalf("it can be shielded and not be bound: %v\n%s", err, data)
	}
	checkTakenBack(t, text, document)
	got, want := runcReads(document.data), runcReads(data)
	if got == nil {
		t.Fatalf("runc accepts\n%s\nand not\n%s", data, document.data)
	}
	ensure(&want.Linux)
	ensure(&want.Linux.Resources)
	ensure(&want.Linux.Resources.CPU)
	quota, period := half.Quota, uint64(half.Period)
	cpu := want.Linux.Resources.CPU
	cpu.Quota, cpu.Period, cpu.Burst = &quota, &period, nil
	for _, name := range []string{cpuMax, cpuMaxBurst} {
		delete(want.Linux.Resources.Unified, name)
	}
	if !reflect.DeepEqual(want, got) {
		t.Errorf("bound, runc reads\n%s\nwant\n%s", asText(got), asText(want))
	}
}

// checkRequest compares what we read with what runc reads.
func checkRequest(t *testing.T, data []byte, written *specs.Spec, got shield.Request, gotErr error) {
	if got.Sandbox {
		return
	}
	container := ""
	for _, annotation := range nameAnnotations {
		if name := written.Annotations[annotation]; name != "" {
			container = name
		}
	}
	choices, _, err := shield.ReadChoices(written.Annotations, container)
	if (err != nil) != (gotErr != nil) {
		t.Fatalf("annotations %q: %v, want %v\n%s", written.Annotations, gotErr, err, data)
	}
	if err != nil {
		return
	}
	want := shield.Request{Key: got.Key, Name: got.Name, Cgroup: got.Cgroup, HugePages: got.HugePages, Pod: got.Pod, HasRDT: got.HasRDT, Choices: choices}
	if s := written.Process.Scheduler; s != nil {
		want.Scheduler = &shield.Scheduler{
			Policy: string(s.Policy), Nice: int(s.Nice), Priority: int(s.Priority), Runtime: s.Runtime, Deadline: s.Deadline, Period: s.Period,
		}
	}
	for _, rlimit := range written.Process.Rlimits {
		switch rlimit.Type {
		case "RLIMIT_RTPRIO":
			want.RTPrio = max(want.RTPrio, rlimit.Hard)
		case "RLIMIT_RTTIME":
			want.RTTime = &rlimit.Hard
		}
	}
	if written.Linux != nil && written.Linux.Resources != nil {
		if cpu := written.Linux.Resources.CPU; cpu != nil {
			want.CPUs, want.Mems, want.Shares = cpu.Cpus, cpu.Mems, value(cpu.Shares)
			want.Quota, want.Budget.Runtime = value(cpu.Quota), value(cpu.RealtimeRuntime)
			want.Period = int64(min(value(cpu.Period), 1<<63-1))
			want.Budget.Period = int64(min(value(cpu.RealtimePeriod), 1<<63-1))
		}
		for name, into := range map[string]*string{cpusetCPUs: &want.CPUs, cpusetMems: &want.Mems} {
			if list, given := written.Linux.Resources.Unified[name]; given {
				*into = list
			}
		}
		if most, given := written.Linux.Resources.Unified[cpuMax]; given {
			want.Quota, want.Period = readMax(most)
		}
	}
	want.CPUs, want.Mems = strings.TrimSpace(want.CPUs), strings.TrimSpace(want.Mems)
	if !reflect.DeepEqual(want, got) {
		t.Errorf("read %s\nwant %s\nof %s", asText(got), asText(want), data)
	}
}

func value[T any](pointer *T) (zero T) {
	if pointer == nil {
		return zero
	}
	return *pointer
}

// granted makes the edits of testGrant by hand.
func granted(spec *specs.Spec) *specs.Spec {
	ensure(&spec.Linux)
	ensure(&spec.Linux.Resources)
	ensure(&spec.Linux.Resources.CPU)
	ensure(&spec.Hooks)
	cpu := spec.Linux.Resources.CPU
	cpu.Cpus, cpu.Mems = "1", "0"
	cpu.Quota, cpu.Period, cpu.Burst, cpu.RealtimeRuntime, cpu.RealtimePeriod = nil, nil, nil, nil, nil
	for _, name := range []string{cpuMax, cpuMaxBurst, cpusetCPUs, cpusetMems} {
		delete(spec.Linux.Resources.Unified, name)
	}
	spec.Process.Scheduler = nil
	for _, rlimit := range testRlimits {
		entry, found := specs.POSIXRlimit{Type: rlimit.Type, Hard: rlimit.Hard, Soft: rlimit.Soft}, false
		for i := range spec.Process.Rlimits {
			if spec.Process.Rlimits[i].Type == rlimit.Type {
				spec.Process.Rlimits[i], found = entry, true
			}
		}
		if !found {
			spec.Process.Rlimits = append(spec.Process.Rlimits, entry)
		}
	}
	for _, variable := range []string{"RTSHIELD_CPUS=1", "RTSHIELD_CLASS=fifo", "RTSHIELD_LEVEL=none"} {
		name, _, _ := strings.Cut(variable, "=")
		i := slices.IndexFunc(spec.Process.Env, func(entry string) bool { return strings.HasPrefix(entry, name+"=") })
		if i < 0 {
			spec.Process.Env = append(spec.Process.Env, variable)
		} else {
			spec.Process.Env[i] = variable
		}
	}
	for when, list := range map[string]*[]specs.Hook{
		"createRuntime": &spec.Hooks.CreateRuntime, "poststart": &spec.Hooks.Poststart, "poststop": &spec.Hooks.Poststop,
	} {
		entry := testHook.entry(when)
		*list = append(*list, specs.Hook{Path: entry.Path, Args: entry.Args, Env: entry.Env, Timeout: &entry.Timeout})
	}
	return spec
}

func ensure[T any](pointer **T) {
	if *pointer == nil {
		*pointer = new(T)
	}
}

func asText(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprintf("%+v", value)
	}
	return string(text)
}

// checkTakenBack: the journal gives back what was there.
func checkTakenBack(t *testing.T, text []byte, document *Document) {
	if !json.Valid(document.data) {
		t.Fatalf("%s\nbecame no JSON:\n%s", text, document.data)
	}
	back, err := undoAll(document.data, document.ops)
	if err != nil {
		t.Fatal(err)
	}
	var a, b any
	if json.Unmarshal(text, &a) != nil {
		return // gjson takes more than encoding/json in the depth of nesting
	}
	if json.Unmarshal(back, &b) != nil || !reflect.DeepEqual(a, b) {
		t.Errorf("taken back:\n%s\nwas\n%s", back, text)
	}
}

// FuzzResources: runc is the judge of what an update says.
func FuzzResources(f *testing.F) {
	for _, text := range []string{
		`{"cpu":{"cpus":"1","mems":"0","quota":-1,"period":100000,"shares":1024},"memory":{"limit":1048576},"unified":{"cpu.max":"max 100000"}}`,
		`{"CPU":{"Cpus":"0-1"},"pids":{"limit":10}}`, `{"cpu":{"cpus":"1"},"cpu":{"shares":2}}`, `{"unified":{"cpuset.cpus":"3","cpuset.cpus.partition":"root"}}`,
		`{}`, `null`, `{"cpu":null} trailing`, `[]`, `{"cpu":{"quota":"x"}}`, `{"cpu":{"cpus":"1"},"Cpu":null}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		decode := func(data []byte) (resources specs.LinuxResources, err error) {
			err = json.NewDecoder(bytes.NewReader(data)).Decode(&resources)
			return resources, err
		}
		want, runcErr := decode(data)
		resources, err := ParseResources(data)
		if err != nil {
			if runcErr == nil && (errors.Is(err, ErrNotJSON) || !strings.Contains(err.Error(), "stands twice") || string(data) == "null") {
				t.Errorf("runc reads %s, and we do not: %v", data, err)
			}
			return
		}
		update, err := resources.Update()
		if runcErr != nil {
			return // it is handed on, and runc says so
		}
		if err != nil {
			if !strings.Contains(err.Error(), cpuMax) {
				t.Errorf("runc reads %s, and we do not: %v", data, err)
			}
			return
		}
		cpu := value(want.CPU)
		cpus, mems := cpu.Cpus, cpu.Mems
		for name, into := range map[string]*string{cpusetCPUs: &cpus, cpusetMems: &mems} {
			if list, given := want.Unified[name]; given {
				*into = list
			}
		}
		if update.CPUs != cpus || update.Mems != mems || update.RTRuntime != value(cpu.RealtimeRuntime) ||
			want.Unified[cpuMax] == "" && update.Quota != value(cpu.Quota) {
			t.Errorf("%s is read as %+v", data, update)
		}
		one, _ := shield.ParseCPUs("1")
		resources.Keep(one, one, shield.Share{})
		got, err := decode(resources.JSON())
		if err != nil {
			t.Fatalf("%s became %s: %v", data, resources.JSON(), err)
		}
		ensure(&want.CPU)
		want.CPU.Cpus, want.CPU.Mems = "1", "1"
		want.CPU.Quota, want.CPU.Period, want.CPU.Burst, want.CPU.RealtimeRuntime, want.CPU.RealtimePeriod = nil, nil, nil, nil, nil
		for _, name := range []string{cpuMax, cpuMaxBurst, cpusetCPUs, cpusetMems} {
			delete(want.Unified, name)
		}
		if len(want.Unified) == 0 && len(got.Unified) == 0 {
			want.Unified, got.Unified = nil, nil
		}
		if !reflect.DeepEqual(want, got) {
			t.Errorf("%s became %s", data, resources.JSON())
		}
	})
}

// A judge that refuses everything would find no fault.
func TestTheJudgeAcceptsWhatEnginesWrite(t *testing.T) {
	for _, file := range recorded(t) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) > 0 && runcReads(data) == nil && filepath.Base(file) != "unknown-fields.json" {
			t.Errorf("runc refuses %s", file)
		}
	}
}
