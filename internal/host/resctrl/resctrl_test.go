package resctrl

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
)

// tree has what the kernel shows of a Xeon with two L3.
func tree(t *testing.T, edit func(files map[string]string)) host.Root {
	t.Helper()
	files := map[string]string{
		"info/L3/cbm_mask": "fffff", "info/L3/shareable_bits": "c0000", "info/L3/min_cbm_bits": "1", "info/L3/num_closids": "16", "info/MB/num_closids": "8",
		"schemata": "    MB:0=100;1=100\n    L3:0=fffff;1=ffff0", "tasks": "1\n2", "mon_groups/.keep": "", "mon_data/.keep": "",
		"web/schemata": "    L3:0=0000f;1=fffff", "web/tasks": "41\n42", "web/mon_data/.keep": "", "info/last_cmd_status": "ok",
	}
	if edit != nil {
		edit(files)
	}
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, Dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text+"\n"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for cpu, files := range map[string]map[string]string{
		"cpu0": {"index3/level": "3", "index3/id": "0"}, "cpu1": {"index3/level": "3", "index3/id": "1"}, "cpu2": {"index2/level": "2", "index2/id": "7"},
	} {
		for name, text := range files {
			path := filepath.Join(root, "sys/devices/system/cpu", cpu, "cache", name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text+"\n"), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return host.Root(root)
}

func TestAnL3IsReadAsTheKernelShowsIt(t *testing.T) {
	root := tree(t, nil)
	facts, err := Read(root)
	want := Facts{Full: 0xfffff, Shareable: 0xc0000, MinWays: 1, CLOSIDs: 16, Groups: map[string]Masks{"web": {0: 0xf, 1: 0xfffff}}}
	if err != nil || !reflect.DeepEqual(facts, want) {
		t.Errorf("%+v, %v; want %+v", facts, err, want)
	}
	domains, err := Domains(root, cpuset.New(0, 1, 2))
	if err != nil || !maps.Equal(domains, map[int]int{0: 0, 1: 1}) {
		t.Errorf("domains %v, %v", domains, err)
	}
	inside, errInside := Has(root, "web", 42)
	outside, errOutside := Has(root, "web", 4)
	if err := errors.Join(errInside, errOutside); err != nil || !inside || outside {
		t.Errorf("42 is in web: %v, 4: %v, %v", inside, outside, err)
	}
	if err := Set(root, Masks{0: 0xffff0, 1: 0xffff0}); err != nil {
		t.Fatal(err)
	}
	if masks, err := Group(root, ""); err != nil || masks.String() != "0=ffff0;1=ffff0" {
		t.Errorf("the others fill %s, %v", masks, err)
	}
}

func TestAHostThatCannotDivideItsL3SaysWhy(t *testing.T) {
	without := func(names ...string) func(map[string]string) {
		return func(files map[string]string) {
			maps.DeleteFunc(files, func(name, _ string) bool {
				for _, prefix := range names {
					if strings.HasPrefix(name, prefix) {
						return true
					}
				}
				return false
			})
		}
	}
	for why, edit := range map[string]func(map[string]string){
		"/sys/fs/resctrl does not exist: the kernel lacks CONFIG_X86_CPU_RESCTRL": without(""),
		"/sys/fs/resctrl is not mounted: mount -t resctrl":                        without("schemata"),
		"the processor cannot divide its L3 (no cat_l3 in /proc/cpuinfo)":         without("info/L3/"),
		"code and data apart (cdp)":                                               func(files map[string]string) { files["info/L3CODE/cbm_mask"] = "fff" },
	} {
		if _, err := Read(tree(t, edit)); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%v, want %q", err, why)
		}
	}
	if _, err := Parse("0=xyz"); err == nil {
		t.Error("xyz was read")
	}
}
