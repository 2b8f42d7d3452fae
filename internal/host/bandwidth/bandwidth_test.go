package bandwidth

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rtshield/rtshield/internal/host"
)

func tree(t *testing.T, files map[string]string) host.Root {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return host.Root(dir)
}

func TestTheBoundIsReadOnBothVersions(t *testing.T) {
	root := tree(t, map[string]string{
		"two/bound/cpu.max": "50000 100000", "two/bound/cpu.max.burst": "7", "two/free/cpu.max": "max 100000", "two/odd/cpu.max": "x",
		"one/bound/cpu.cfs_quota_us": "50000", "one/bound/cpu.cfs_period_us": "100000", "one/bound/cpu.cfs_burst_us": "7",
		"one/free/cpu.cfs_quota_us": "-1", "one/free/cpu.cfs_period_us": "100000",
	})
	for dir, want := range map[string]Limit{
		"two/bound": {50000, 100000, 7}, "one/bound": {50000, 100000, 7}, "two/free": {Period: 100000}, "one/free": {Period: 100000}, "nowhere": {},
	} {
		if got, err := Read(root, dir); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", dir, got, err, want)
		}
	}
	if got, err := Read(root, "two/odd"); err == nil {
		t.Errorf("read %+v", got)
	}
}

func TestABoundIsSetAndLiftedOnBothVersions(t *testing.T) {
	for name, c := range map[string]struct {
		before map[string]string
		limit  Limit
		after  map[string]string
	}{
		"v2": {
			map[string]string{"cpu.max": "max 100000", "cpu.max.burst": "9"}, Limit{30000, 50000, 7},
			map[string]string{"cpu.max": "30000 50000", "cpu.max.burst": "7"},
		},
		"v2 lifted": {map[string]string{"cpu.max": "30000 50000", "cpu.max.burst": "7"}, Limit{}, map[string]string{"cpu.max": "max", "cpu.max.burst": "7"}},
		"v1": {
			map[string]string{"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000", "cpu.cfs_burst_us": "9"}, Limit{30000, 50000, 7},
			map[string]string{"cpu.cfs_quota_us": "30000", "cpu.cfs_period_us": "50000", "cpu.cfs_burst_us": "7"},
		},
		"v1 lifted": {map[string]string{"cpu.cfs_quota_us": "30000", "cpu.cfs_period_us": "50000"}, Limit{Period: 100000}, map[string]string{"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "50000"}},
		"before 5.14": {
			map[string]string{"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"}, Limit{Quota: 30000, Period: 50000},
			map[string]string{"cpu.cfs_quota_us": "30000", "cpu.cfs_period_us": "50000"},
		},
	} {
		root := tree(t, c.before)
		if err := Set(root, "/", c.limit); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for file, want := range c.after {
			if now, err := root.Read(file); err != nil || now != want {
				t.Errorf("%s: %s is %q, want %q: %v", name, file, now, want, err)
			}
		}
	}
	for name, before := range map[string]map[string]string{"no burst": {"cpu.max": "max 100000"}, "no bound": {"cpu.stat": ""}} {
		if err := Set(tree(t, before), "/", Limit{30000, 50000, 7}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestTheTightestBoundAboveIsFound(t *testing.T) {
	root := tree(t, map[string]string{
		"/m/cpu.cfs_quota_us": "10", "/m/cpu.cfs_period_us": "100000",
		"/m/a/cpu.cfs_quota_us": "90000", "/m/a/cpu.cfs_period_us": "100000",
		"/m/a/b/cpu.cfs_quota_us": "3000", "/m/a/b/cpu.cfs_period_us": "10000",
		"/m/a/b/c/cpu.cfs_quota_us": "-1", "/m/a/b/c/cpu.cfs_period_us": "10000",
	})
	if got, where, err := Above(root, "/m", "/m/a/b/c/new"); err != nil || where != "/m/a/b" || got.Quota != 3000 {
		t.Errorf("%+v in %s, %v", got, where, err)
	}
	if got, where, err := Above(root, "/m", "/m/new/web"); err != nil || where != "" {
		t.Errorf("%+v in %s, %v", got, where, err)
	}
}

func TestWhatACgroupGotIsCountedOnBothVersions(t *testing.T) {
	root := tree(t, map[string]string{
		"v2/cpu.stat":      "usage_usec 5000000\nuser_usec 1\nnr_periods 100\nnr_throttled 90\nthrottled_usec 4000000\nnr_bursts 0",
		"v1/cpu.stat":      "nr_periods 100\nnr_throttled 90\nthrottled_time 4000000000\nnr_bursts 0",
		"a1/cpuacct.usage": "5000000000", "a0/cpuacct.usage": "0",
	})
	for _, place := range []Place{{"v2", "v2"}, {"v1", "a1"}} {
		counters, err := Count(root, place)
		if err != nil || counters.At == 0 {
			t.Fatal(counters, err)
		}
		before := Counters{At: counters.At - 10e9, Periods: 40, Throttled: 40, ThrottledTime: 1e9}
		if got, want := counters.Since(before), (Usage{Seconds: 10, Percent: 50, Periods: 60, Throttled: 50, ThrottledSeconds: 3}); got != want {
			t.Errorf("%+v: %+v, want %+v", place, got, want)
		}
	}
	if idle, err := Count(root, Place{"v1", "a0"}); err != nil || idle.Used != 0 {
		t.Errorf("%+v, %v", idle, err)
	}
	if _, err := Count(root, Place{"gone", "gone"}); !host.Gone(err) {
		t.Error(err)
	}
	if again := (Counters{At: 5}).Since(Counters{At: 5, Used: 7}); again != (Usage{}) {
		t.Errorf("%+v", again)
	}
}

func TestBurstTakesLinux514(t *testing.T) {
	for release, want := range map[string]bool{"5.13.0": false, "5.14.0-1-amd64": true, "6.1.0-rt": true, "4.19.1": false, "10.0": true, "7.2-rc1": true, "6": false, "": false} {
		if got := HasBurst(tree(t, map[string]string{"proc/sys/kernel/osrelease": release})); got != want {
			t.Errorf("%q: %v", release, got)
		}
	}
}
