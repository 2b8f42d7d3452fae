package spec

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/tidwall/gjson"

	"github.com/rtshield/rtshield/internal/shield"
)

var half = shield.Share{Quota: 50_000, Period: 100_000}

func written(t *testing.T, text string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestABoundIsWrittenAndNothingElse(t *testing.T) {
	for _, c := range []struct {
		text, cpu, unified string
		share              shield.Share
	}{
		{`{"process":{"args":["a"]}}`, `{"quota":50000,"period":100000}`, "", half},
		{`{"linux":{"resources":{"cpu":{"shares":7,"burst":3,"quota":-1}}}}`, `{"shares":7,"quota":50000,"period":100000}`, "", half},
		{`{"linux":{"resources":{"cpu":{"period":5},"unified":{"cpu.weight":"5","cpu.max.burst":"0","cpu.max":"max 100000"}}}}`, `{"quota":50000,"period":100000}`, `{"cpu.weight":"5"}`, half},
		{`{"linux":{}}`, `{"quota":2000,"period":10000,"burst":1000}`, "", shield.Share{Quota: 2000, Period: 10000, Burst: 1000}},
	} {
		dir := written(t, c.text)
		document := load(t, dir)
		if err := document.Limit(c.share); err != nil {
			t.Fatal(err)
		}
		if err := document.Save(); err != nil {
			t.Fatal(err)
		}
		data := read(t, dir)
		resources := gjson.GetBytes(data, "linux.resources")
		if resources.Get("cpu").Raw != c.cpu || resources.Get("unified").Raw != c.unified || gjson.GetBytes(data, "hooks").Exists() {
			t.Errorf("%s became %s", c.text, data)
		}
		if again := load(t, dir); string(again.Bytes()) != c.text {
			t.Errorf("taken back it is %s, it was %s", again.Bytes(), c.text)
		}
	}
	twice := load(t, written(t, `{"linux":{"resources":{"cpu":{"quota":1,"Quota":2}}}}`))
	if err := twice.Limit(half); err == nil {
		t.Error("runc would read another quota")
	}
}

func TestAGrantHasTheBoundItAskedForAndNoOther(t *testing.T) {
	document := load(t, written(t, `{"linux":{"resources":{"cpu":{"quota":-1,"period":7000,"burst":9},"unified":{"cpu.max":"max"}}},"process":{}}`))
	grant := testGrant(t, "1")
	grant.Share = half
	if err := document.Shield(grant, nil, testHook); err != nil {
		t.Fatal(err)
	}
	resources := gjson.GetBytes(document.Bytes(), "linux.resources")
	if cpu := resources.Get("cpu"); cpu.Get("quota").Int() != half.Quota || cpu.Get("period").Int() != half.Period || cpu.Get("burst").Exists() || resources.Get(`unified.cpu\.max`).Exists() {
		t.Errorf("%s", document.Bytes())
	}
}

func TestWhatTheEngineWroteOfAQuotaIsRead(t *testing.T) {
	for text, want := range map[string][2]int64{
		`{}`:                                                   {0, 0},
		`{"cpu":{"quota":-1,"period":100000}}`:                 {-1, 100000},
		`{"cpu":{"quota":5000}}`:                               {5000, 0},
		`{"unified":{"cpu.max":"max"}}`:                        {-1, 0},
		`{"unified":{"cpu.max":"2000 10000"}}`:                 {2000, 10000},
		`{"cpu":{"quota":5},"Unified":{"a":""}}`:               {5, 0},
		`{"cpu":{"quota":5},"unified":{"cpu.max":"max 9000"}}`: {-1, 9000},
	} {
		request, err := load(t, written(t, `{"linux":{"resources":`+text+`}}`)).Request(shield.Key{ID: "a"}, "")
		if err != nil || request.Quota != want[0] || request.Period != want[1] {
			t.Errorf("%s is read as %d in %d, %v", text, request.Quota, request.Period, err)
		}
	}
}

func TestAnUpdateKeepsABound(t *testing.T) {
	for text, want := range map[string]string{
		`{"cpu":{"period":100000,"shares":5}}`: `{"cpu":{"burst":1000,"period":10000,"quota":5000,"shares":5}}`,
		`{"memory":{"limit":1}}`:               `{"cpu":{"burst":1000,"period":10000,"quota":5000},"memory":{"limit":1}}`,
		`{"unified":{"cpu.max":"max 100000","cpu.max.burst":"0","x":"y"},"cpu":{"burst":0}}`: `{"cpu":{"burst":1000,"period":10000,"quota":5000},"unified":{"x":"y"}}`,
	} {
		resources, err := ParseResources([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if resources.SetShare(shield.Share{Quota: 5000, Period: 10000, Burst: 1000}); string(resources.JSON()) != want {
			t.Errorf("%s became %s, want %s", text, resources.JSON(), want)
		}
	}
	resources, err := ParseResources([]byte(`{"cpu":{"quota":7000}}`))
	if err != nil {
		t.Fatal(err)
	}
	if resources.DropBurst(); string(resources.JSON()) != `{"cpu":{"burst":0,"quota":7000}}` {
		t.Errorf("%s", resources.JSON())
	}
}
