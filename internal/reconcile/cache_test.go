package reconcile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host/resctrl"
	"github.com/rtshield/rtshield/internal/shield"
)

func TestWaysAreTakenFromTheOthersReadBackAndGivenBack(t *testing.T) {
	root := generate(t, 4, 1)
	write := func(text string, parts ...string) {
		path := root.Path(parts...)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text+"\n"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if cache, err := Cache(root, cpuset.New(1)); err != nil || !strings.Contains(cache.Why, "does not exist") {
		t.Errorf("a host without resctrl: %+v, %v", cache, err)
	}
	for name, text := range map[string]string{
		"schemata": "L3:0=fff", "info/L3/cbm_mask": "fff", "info/L3/shareable_bits": "0", "info/L3/min_cbm_bits": "2", "info/L3/num_closids": "16",
		"a/schemata": "L3:0=f", "a/tasks": "77",
	} {
		write(text, resctrl.Dir, name)
	}
	write("3", "sys/devices/system/cpu/cpu1/cache/index3/level")
	write("0", "sys/devices/system/cpu/cpu1/cache/index3/id")
	cache, err := Cache(root, cpuset.New(1))
	if err != nil || cache.Why != "" || cache.Full != 0xfff || cache.MinWays != 2 || cache.Domains[1] != 0 || cache.Groups["a"][0] != 0xf {
		t.Fatalf("%+v, %v", cache, err)
	}

	store := shield.Store{Dir: t.TempDir(), BootID: "b"}
	if err := os.Chmod(store.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	session, err := store.Open("test")
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	grant := bigGrant(t, root)
	grant.Key, grant.CPUs, grant.Ways = shield.Key{Root: "/r", ID: "a"}, shield.CPUsOf(cpuset.New(1)), shield.Ways{0: 0xf}
	session.Add(grant)
	reads := func(when, want string) {
		t.Helper()
		if _, err := Run(root, session); err != nil {
			t.Fatal(err)
		}
		if masks, err := resctrl.Group(root, ""); err != nil || masks.String() != want {
			t.Errorf("%s all others fill %s, %v; want %s", when, masks, err, want)
		}
	}
	reads("beside a container", "0=ff0")
	for pid, want := range map[int]string{77: "", 78: "pid 78 is not in group a"} {
		if err := CheckWays(root, grant, pid); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("pid %d: %v, want %q", pid, err, want)
		}
	}
	write("L3:0=ff", resctrl.Dir, "a/schemata")
	if err := CheckWays(root, grant, 77); err == nil || !strings.Contains(err.Error(), "group a has 0=ff") {
		t.Errorf("with other ways: %v", err)
	}
	session.Release(grant.Key)
	reads("with the container gone", "0=fff")
	if len(session.Baselines) > 0 {
		t.Errorf("still noted: %v", session.Baselines)
	}
}
