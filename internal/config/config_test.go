package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/rtshield/rtshield/internal/shield"
)

// designExample is the policy file that the contract shows: it has to be accepted as it stands.
const designExample = `
[runtime]
delegates = ["runc", "crun"]
state     = "/run/rtshield"

[layout]
shield  = "auto"
reserve = "on-demand"
cpus_from = "auto"
exempt  = []

[class.fifo]
policy = "fifo"
priority = 50
max_priority = 80
cpus = 1
max_cpus = 4
smt = "isolate"
partition = "auto"
irq = "away"
exec = "demote"
rtprio = true
memlock = true
`

func TestExampleOfTheContractIsTheDefault(t *testing.T) {
	config, err := Parse("config.toml", []byte(designExample))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := config.Classes["fifo"], shield.BuiltinClasses()["fifo"]; !reflect.DeepEqual(got, want) {
		t.Errorf("class fifo of the example is %+v, the built-in one %+v", got, want)
	}
}

func TestErrorsGiveFileLineAndExpectation(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"garbage", "p.toml:1: "},
		{"[runtime]\n\nstat = \"/x\"\n", `p.toml:3: unknown key "runtime.stat": expected one of delegates, state, classes`},
		{"[class.fifo]\npolicy = \"fofo\"\n", `p.toml:2: policy = "fofo": expected one of fifo, rr, deadline, other, batch`},
		{"[class.fifo]\npriority = 50\n\nmax_priority = 120", `p.toml:4: max_priority = "120": expected 1-99`},
		{"[class.fifo]\npriority = \"high\"", "p.toml:2: "},
		{"[class.fifo]\nrtprio = \"maybe\"", `p.toml:2: rtprio = "maybe": expected true, false or "require"`},
		{"[class.fifo]\nsmt = \"yes\"", `p.toml:2: smt = "yes": expected one of ["prefer" "require" "isolate"]`},
		{"[class.fifo]\nprority = 1", `p.toml:2: unknown key "class.fifo.prority"`},
		{"[class.fifo]\nshared = \"yes\"", "p.toml:2: "},
		{"[class.deadline]\nshared = true", `p.toml:2: shared = "true": expected false beside policy = "deadline"`},
		{"[layout]\nkubelet = \"kubelet\"", `p.toml:2: kubelet = "kubelet": expected an absolute path, the kubelet's --root-dir`},
		{"[layout]\ncpus_from = \"kubelet\"", `p.toml:2: cpus_from = "kubelet": expected "auto", "rtshield" or "engine"`},
		{"[class.fifo]\nnuma = \"one\"", `p.toml:2: numa = "one": expected one of ["single" "prefer" "any"]`},
		{"[class.fifo]\nnear = \"eth1\"", `p.toml:2: near = "eth1": expected "netdev eth1", "pci 0000:3b:00.0" or "irq-claim"`},
		{"[class.mine]\ncpus = 2", `policy = "": expected a policy, as class mine is not built in`},
		{"[class.\"a\\nb\"]\npolicy = \"rr\"", `p.toml: class = "a\nb": expected a name of letters, digits, - and _`},
		{"[layout]\nshield = \"2-x\"", `p.toml:2: shield = "2-x": expected "auto" or a list of CPUs`},
		{"layout.reserve = \"sometimes\"", `p.toml:1: reserve = "sometimes": expected "on-demand" or "always"`},
		{"[runtime]\ndelegates = [\"./runc\"]", `p.toml:2: delegates = "./runc": expected names, or absolute paths`},
		{"[shields]\n", `unknown key "shields": expected one of [runtime], [layout]`},
		{"[class.deadline]\ndeadline = \"1ms\"", `p.toml:2: deadline = "1ms": expected runtime/deadline/period`},
		{"[class.fifo]\ncpus = 1\ncstates = \"deep\"", `p.toml:3: cstates = "deep": expected "keep", "off" (no sleep at all)`},
		{"[class.fifo]\ngovernor = \"\"", `p.toml:2: governor = "": expected "keep" or a name out of scaling_available_governors`},
		{"[class.fifo]\nenergy_performance_preference = \"300\"", `p.toml:2: energy_performance_preference = "300"`},
		{"[class.fifo]\nscaling_min_freq = \"min\"", `p.toml:2: scaling_min_freq = "min": expected "keep", "max" or a frequency`},
		{"[runtime]\nclasses = [\"gold\"]", `p.toml:2: classes = "gold": expected classes of this file, or built in`},
		{"[class.fifo]\nrttime = \"soon\"", `p.toml:2: rttime = "soon": expected a duration such as 500ms, or 0 for none`},
		{"[class.fifo]\nrttime = \"1ms\"", `p.toml:2: rttime = "1ms": expected 10ms to 1h0m0s`},
		{"[class.batch]\nrttime = \"1s\"", `p.toml:2: rttime = "1s": expected no rttime`},
		{"[class.fifo]\nexec_cpus = \"other\"", `p.toml:2: exec_cpus = "other": expected one of ["container" "housekeeping"]`},
		{"[class.fifo]\nordinary = \"share\"", `p.toml:2: ordinary = "share": expected one of ["dedicated" "housekeeping"]`},
		{"[class.fifo]\nexec = \"inherit\"\nexec_cpus = \"housekeeping\"", `p.toml:3: exec_cpus = "housekeeping": expected "container" beside exec = "inherit"`},
		{"[class.fifo]\nexec_cpus = \"housekeeping\"\npartition = \"root\"", `p.toml:2: exec_cpus = "housekeeping": expected "container" beside partition = "root"`},
		{"[class.fifo]\nexec_cpus = \"housekeeping\"\npartition = \"isolated\"", `"container" beside partition = "isolated"`},
		{"[class.fifo]\nexec_cpus = \"housekeeping\"\nrequire_level = \"partition\"", `"container" beside require_level = "partition"`},
		{"[class.deadline]\nexec_cpus = \"housekeeping\"", `"container" beside policy = "deadline"`},
		{"[class.fifo]\nhelpers = \"shield\"", `p.toml:2: helpers = "shield": expected one of ["housekeeping" "leave"]`},
		{"[class.fifo]\nl3 = \"exclusive\"", `p.toml:2: l3 = "exclusive": expected "keep", or a number of ways, such as "exclusive:4"`},
		{"[class.fifo]\nl3 = \"exclusive:0\"", `p.toml:2: l3 = "exclusive:0": expected "keep"`},
		{"[class.fifo]\nksm = \"never\"", `p.toml:2: ksm = "never": expected one of ["keep" "off"]`},
		{"[class.fifo]\nhugepages = \"yes\"", `p.toml:2: hugepages = "yes": expected one of ["static" "reserve"]`},
		{"[class.fifo]\nhugepages = \"reserve\"", `p.toml:2: hugepages = "reserve": expected max_hugepages beside it, such as "1Gi=4, 2Mi=512"`},
		{"[class.fifo]\nmax_hugepages = \"2Mi\"", `p.toml:2: max_hugepages = "2Mi": expected sizes of huge pages, each with a number`},
		{"[class.fifo]\nfair_server = \"on\"", `p.toml:2: fair_server = "on": expected "keep" or "off"`},
	} {
		_, err := Parse("p.toml", []byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q:\n got %v\nwant …%s…", c.text, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: more than one line: %q", c.text, err)
		}
	}
}

func TestClassInheritsFromTheBuiltInOneOfItsPolicy(t *testing.T) {
	config, err := Parse("p.toml", []byte("[class.motor]\npolicy = \"rr\"\npriority = 10\ncpus = 6\nnuma = \"single\"\nnear = \"netdev eth1\"\ncstates = \"off\"\nscaling_min_freq = \"max\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	motor := config.Classes["motor"]
	if motor.Name != "motor" || motor.Policy != shield.RR || motor.Priority != 10 || motor.MaxPriority != 80 || motor.MaxCPUs != 6 {
		t.Errorf("got %+v", motor)
	}
	if motor.NUMA != shield.NUMASingle || motor.Near.String() != "netdev eth1" || config.Classes["fifo"].NUMA != shield.NUMAPrefer {
		t.Errorf("numa %q near %q, fifo %q", motor.NUMA, motor.Near, config.Classes["fifo"].NUMA)
	}
	if want := (shield.Power{CStates: "off", Governor: "performance", Preference: "performance", MinFreq: "max", FairServer: "keep"}); motor.Power != want {
		t.Errorf("power %+v, want %+v", motor.Power, want)
	}
	if !reflect.DeepEqual(config.Classes["fifo"], shield.BuiltinClasses()["fifo"]) {
		t.Error("the built-in classes are gone")
	}
}

func TestExecMayBeSentToHousekeepingCPUs(t *testing.T) {
	config, err := Parse("p.toml", []byte("[class.fifo]\nexec_cpus = \"housekeeping\"\nrequire_level = \"cpuset\"\npartition = \"none\"\n"))
	if err != nil || config.Classes["fifo"].ExecCPUs != shield.ExecOnHousekeeping || config.Classes["rr"].ExecCPUs != shield.ExecOnContainer {
		t.Errorf("%+v, %v", config.Classes, err)
	}
}

func TestHugePagesMayBeReservedWithinABound(t *testing.T) {
	config, err := Parse("p.toml", []byte("[class.fifo]\nhugepages = \"reserve\"\nmax_hugepages = \"2Mi=512, 1Gi=1\"\nksm = \"keep\"\n"))
	fifo := config.Classes["fifo"]
	if err != nil || fifo.HugePages != shield.Reserve || !reflect.DeepEqual(fifo.MaxHugePages, []shield.Pages{{Size: 2 << 20, Count: 512}, {Size: 1 << 30, Count: 1}}) {
		t.Errorf("%+v, %v", fifo, err)
	}
	if rr, batch := config.Classes["rr"], config.Classes["batch"]; rr.HugePages != shield.Static || rr.KSM != "off" || batch.KSM != "keep" || fifo.KSM != "keep" {
		t.Errorf("%+v\n%+v", rr, batch)
	}
}

func TestOnlyTheClassesThatAreOfferedCanBeAskedFor(t *testing.T) {
	for text, want := range map[string]string{
		"": "batch, deadline, fifo, rr", "[runtime]\nclasses = []": "",
		"[runtime]\nclasses = [\"motor\", \"batch\"]\n[class.motor]\npolicy = \"rr\"\n[class.other]\npolicy = \"fifo\"": "batch, motor",
	} {
		config, err := Parse("p.toml", []byte(text))
		if err != nil || shield.ClassNames(config.Classes) != want {
			t.Errorf("%q offers %q, %v; want %q", text, shield.ClassNames(config.Classes), err, want)
		}
	}
}

func TestFileThatOthersCanWriteIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(path, []byte(designExample), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("RTSHIELD_CONFIG", path)
	if _, err := Load(); err != nil {
		t.Fatalf("a proper file: %v", err)
	}
	for name, mode := range map[string]os.FileMode{path: 0o666, dir: 0o777} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(); err == nil || !strings.Contains(err.Error(), "others could change it") {
			t.Errorf("%s with mode %o: %v", name, mode, err)
		}
		if err := os.Chmod(name, info.Mode()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNamedFileHasToExist(t *testing.T) {
	t.Setenv("RTSHIELD_CONFIG", filepath.Join(t.TempDir(), "none.toml"))
	if _, err := Load(); err == nil {
		t.Error("RTSHIELD_CONFIG names a file that is not there, and nothing was said")
	}
}
