package verify

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/internal/status"
)

// running makes a host on which these programs run.
func running(t *testing.T, names ...string) host.Root {
	t.Helper()
	dir := t.TempDir()
	for i, name := range append([]string{"init"}, names...) {
		file := filepath.Join(dir, "proc", []string{"1", "2", "3", "4"}[i], "comm")
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(name+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return host.Root(dir)
}

func TestTheCulpritIsNamedWhereItCanBeTold(t *testing.T) {
	systemd := running(t, "systemd")
	if err := os.MkdirAll(systemd.Path("run/systemd/system"), 0o755); err != nil {
		t.Fatal(err)
	}
	untold := Promise{Mark: Broken, Why: "it was restarted or told something else", kind: shield.Irqbalance}
	for name, c := range map[string]struct {
		root host.Root
		kind shield.Kind
		more []Promise
		want string
	}{
		"nobody runs":                {running(t), shield.IRQ, nil, "somebody changed it"},
		"irqbalance was not told":    {running(t, "irqbalance"), shield.IRQ, []Promise{untold}, "irqbalance runs and was not told"},
		"irqbalance was told":        {running(t, "irqbalance"), shield.IRQ, nil, "somebody changed it"},
		"tuned":                      {running(t, "tuned"), shield.Mask, nil, "tuned runs"},
		"tuned changes no partition": {running(t, "tuned"), shield.Partition, nil, "somebody changed it"},
		"two":                        {running(t, "tuned", "power-profiles-"), shield.Governor, nil, "may; power-profiles-daemon runs"},
		"systemd":                    {systemd, shield.Cpuset, nil, "set-property, and after a daemon-reload"},
		"systemd in a container":     {running(t, "systemd"), shield.Cpuset, nil, "somebody changed it"},
	} {
		promises := append([]Promise{{Mark: Broken, Why: status.Changed, kind: c.kind}, {Mark: Cannot, Why: "managed"}}, c.more...)
		report := &Report{Containers: []Container{{Promises: promises}}, Totals: map[Mark]int{Broken: 1}}
		Job{Root: c.root}.blame(report)
		why := report.Containers[0].Promises[0].Why
		if !strings.HasPrefix(why, status.Changed) || !strings.HasSuffix(why, c.want) && !strings.Contains(why, c.want) || c.want == status.Changed && why != c.want {
			t.Errorf("%s: %q, want %q", name, why, c.want)
		}
		if limit := report.Containers[0].Promises[1].Why; limit != "managed" {
			t.Errorf("%s: a limit is blamed on %q", name, limit)
		}
	}
}

func TestTheExitStatusTellsBrokenFromUnknown(t *testing.T) {
	for _, c := range []struct {
		marks []Mark
		want  int
	}{
		{nil, 0}, {[]Mark{Holds, Cannot}, 0}, {[]Mark{Holds, Broken}, 1}, {[]Mark{Unknown, Cannot}, 2}, {[]Mark{Unknown, Broken}, 1},
	} {
		report := &Report{Totals: map[Mark]int{}}
		for _, mark := range c.marks {
			report.Host = append(report.Host, Promise{Mark: mark})
		}
		if report.count(); report.ExitStatus() != c.want {
			t.Errorf("%v: %d, want %d", c.marks, report.ExitStatus(), c.want)
		}
	}
}

func TestAContainerIsNamedAsEnginesPrintIt(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	grants := []status.Grant{{ID: id, Name: "web", Root: "/a"}, {ID: "web", Name: "web", Root: "/b"}}
	for given, want := range map[string]int{id: 1, id[:12]: 1, id[:8]: 1, id[:7]: 0, "web": 2, "we": 0, "": 0} {
		count := 0
		for _, grant := range grants {
			if named([]string{given}, grant) {
				count++
			}
		}
		if err := unknownID([]string{given}, &status.Status{Grants: grants}, "/state"); count != want || (err == nil) != (want > 0) {
			t.Errorf("%q names %d, want %d; %v", given, count, want, err)
		}
	}
	if err := unknownID([]string{"web", "db"}, &status.Status{Grants: grants}, "/state"); err == nil || !strings.Contains(err.Error(), `"db"`) || strings.Contains(err.Error(), "\n") {
		t.Errorf("one of two is unknown: %v", err)
	}
}

func TestIrqbalanceIsGivenTheTimeToShowWhatItWasTold(t *testing.T) {
	limits := []shield.Limit{{Kind: shield.Irqbalance, Drift: true}, {Kind: shield.Irqbalance}, {Kind: shield.IRQ, Drift: true}}
	if left := (Job{Told: true}).settled(limits); len(left) != 2 || left[0].Drift || left[1].Kind != shield.IRQ {
		t.Errorf("%+v", left)
	}
	if left := (Job{}).settled(limits); len(left) != 3 {
		t.Errorf("%+v", left)
	}
}

func TestADeletedLedgerAndWhatWasNotPutBackAreBroken(t *testing.T) {
	if promises := hostPromises(nil, false); promises != nil {
		t.Errorf("%+v", promises)
	}
	promises := hostPromises([]string{"/cg (CPU 1)"}, true)
	if len(promises) != 2 || promises[0].Mark != Broken || !strings.Contains(promises[0].What, "/cg (CPU 1)") || promises[1].Help != repair {
		t.Errorf("%+v", promises)
	}
}
