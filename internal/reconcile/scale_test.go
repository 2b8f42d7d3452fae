package reconcile

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/shield"
)

// generate makes a /proc and /sys with so many CPUs and interrupts. Every eighth interrupt is a queue's with a CPU of its
// own, the others may go anywhere.
func generate(tb testing.TB, cpus, interrupts int) host.Root {
	tb.Helper()
	// In memory, as /proc is: what a disk's file system does with 4,096 small files is not what is measured.
	dir, err := os.MkdirTemp("/dev/shm", "rtshield-scale-")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	write := func(text string, parts ...string) {
		path := filepath.Join(append([]string{dir}, parts...)...)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text+"\n"), 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	all := fmt.Sprintf("0-%d", cpus-1)
	write(all, "sys/devices/system/cpu/online")
	everywhere, _ := cpuset.Parse(all)
	write(host.FormatMask(everywhere), "proc/irq/default_smp_affinity")
	for i := range interrupts {
		list := all
		if i%8 == 0 {
			list = strconv.Itoa(i / 8 % cpus)
		}
		write(list, "proc/irq", strconv.Itoa(i+1), "smp_affinity_list")
	}
	pid := strconv.Itoa(os.Getpid())
	write("0::/", "proc", pid, "cgroup")
	write("30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw", "proc/self/mountinfo")
	write("", "sys/fs/cgroup/cgroup.threads")
	write("", "sys/fs/cgroup/box/cgroup.threads")
	write("100-103", "sys/fs/cgroup/box/cpuset.cpus")
	write("", "sys/fs/cgroup/box/cpuset.cpus.exclusive")
	write("member", "sys/fs/cgroup/box/cpuset.cpus.partition")
	write(host.FormatMask(everywhere), "sys/devices/virtual/workqueue/cpumask")
	return host.Root(dir)
}

// bigGrant has four CPUs; its owner is this process, so that it lives.
func bigGrant(tb testing.TB, root host.Root) shield.Grant {
	tb.Helper()
	start, err := host.System.StartTime(os.Getpid())
	if err != nil {
		tb.Fatal(err)
	}
	stat, err := host.System.Read("proc", strconv.Itoa(os.Getpid()), "stat")
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(root.Path("proc", strconv.Itoa(os.Getpid()), "stat"), []byte(stat), 0o644); err != nil {
		tb.Fatal(err)
	}
	cpus, _ := cpuset.Parse("100-103")
	return shield.Grant{
		Key: shield.Key{Root: "/run/runc", ID: "big"}, Name: "big", CPUs: shield.CPUsOf(cpus), IRQ: "away", Bound: true,
		Level: shield.LevelPartition, Partition: shield.Root, Owner: shield.Owner{PID: os.Getpid(), Start: start},
		Cgroups: shield.Cgroups{Cpuset: "/sys/fs/cgroup/box", Partition: []string{"/sys/fs/cgroup/box"}},
	}
}

func openLedger(tb testing.TB, root host.Root) *shield.Session {
	tb.Helper()
	session, err := shield.Store{Dir: root.Path("run/rtshield"), BootID: "boot"}.Open("test")
	if err != nil {
		tb.Fatal(err)
	}
	return session
}

// change grants or releases, and reconciles.
func change(tb testing.TB, root host.Root, edit func(*shield.Session)) Report {
	tb.Helper()
	session := openLedger(tb, root)
	defer session.Close()
	keep, _ := cpuset.Parse("0-1")
	session.Housekeeping = shield.CPUsOf(keep)
	edit(session)
	report, err := Run(root, session)
	if err != nil {
		tb.Fatal(err)
	}
	return report
}

func TestOnlyDifferencesAreWritten(t *testing.T) {
	root := generate(t, 128, 256)
	grant := bigGrant(t, root)
	report := change(t, root, func(s *shield.Session) { s.Add(grant) })
	interrupts := 0
	for _, changed := range report.Changed {
		if changed.Kind == shield.IRQ {
			interrupts++
			if strings.Contains(changed.Now, "100") || changed.Was != "0-127" {
				t.Errorf("irq %s: %s → %s", changed.Name, changed.Was, changed.Now)
			}
		}
	}
	// Of the queues, none is on CPU 100-103 of 32.
	if interrupts != 256-32 {
		t.Errorf("%d interrupts were written, of 224 that may go anywhere", interrupts)
	}
	for _, changed := range change(t, root, func(*shield.Session) {}).Changed {
		t.Errorf("a second reconcile writes %s: %s → %s", changed.Knob, changed.Was, changed.Now)
	}
	if released := change(t, root, func(s *shield.Session) { s.Release(grant.Key) }); len(released.Changed) != len(report.Changed) {
		t.Errorf("%d settings were changed, and %d went back", len(report.Changed), len(released.Changed))
	}
	if _, err := os.Stat(root.Path("run/rtshield/ledger.json")); err == nil {
		t.Error("there still is a ledger")
	}
}

// BenchmarkReconcile is one grant and its release, with all that is read, planned, written and read back.
func BenchmarkReconcile(b *testing.B) {
	for _, size := range []struct{ cpus, interrupts int }{{128, 256}, {512, 1024}, {512, 2048}, {512, 4096}} {
		b.Run(fmt.Sprintf("cpus=%d/irqs=%d", size.cpus, size.interrupts), func(b *testing.B) {
			root := generate(b, size.cpus, size.interrupts)
			grant := bigGrant(b, root)
			for b.Loop() {
				change(b, root, func(s *shield.Session) { s.Add(grant) })
				change(b, root, func(s *shield.Session) { s.Release(grant.Key) })
			}
			b.ReportMetric(b.Elapsed().Seconds()*1000/float64(2*b.N), "ms/reconcile")
		})
	}
}
