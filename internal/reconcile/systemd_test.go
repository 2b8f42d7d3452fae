package reconcile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/shield"
)

// systemctl does what systemd does with AllowedCPUs: it keeps it in a drop-in, writes cpuset.cpus, and leaves that as it is
// when it is reset (systemd issue 43846).
const systemctl = `#!/bin/sh
echo "$*" >>"$ROOT/calls"
shift 2
verb=$1; shift
case $verb in
show)
	for unit; do case $unit in *.slice|*.scope)
		printf 'Id=%s\nActiveState=active\nAllowedCPUs=%s\n\n' $unit "$(cat "$ROOT/allowed/$unit" 2>/dev/null | tr , ' ')"
	esac; done ;;
set-property)
	unit=$2 list=${3#AllowedCPUs=}
	dir=$ROOT/run/systemd/system.control/$unit.d
	mkdir -p "$dir" "$ROOT/allowed"
	echo "AllowedCPUs=$list" >"$dir/50-AllowedCPUs.conf"
	echo "$list" >"$ROOT/allowed/$unit"
	[ -z "$list" ] || echo "$list" >"$ROOT/sys/fs/cgroup/$unit/cpuset.cpus" ;;
esac
`

// hostOfSystemd is a cgroup v2 host with a container in system.slice. The administrator gave machine.slice CPUs 0-2 until
// the next boot.
func hostOfSystemd(t *testing.T) (host.Root, *shield.Session) {
	t.Helper()
	root := host.Root(t.TempDir())
	me := fmt.Sprint("proc/", os.Getpid())
	files := map[string]string{
		me + "/cgroup":                  "0::/user.slice\n",
		me + "/stat":                    fmt.Sprintf("%d (test) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 777 0 0", os.Getpid()),
		"proc/self/mountinfo":           "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
		"proc/irq/default_smp_affinity": "f\n",
		"sys/devices/system/cpu/online": "0-3\n",
		"run/systemd/system/x":          "",
		"bin/systemctl":                 systemctl,
		"allowed/machine.slice":         "0-2\n",
		"run/systemd/system.control/machine.slice.d/50-AllowedCPUs.conf": "AllowedCPUs=0-2\n",
	}
	for dir, cpus := range map[string]string{
		"user.slice": "", "init.scope": "", "machine.slice": "0-2", "system.slice": "", "system.slice/docker-a.scope": "3",
		"system.slice/dbus.service": "", "plain": "",
	} {
		files["sys/fs/cgroup/"+dir+"/cpuset.cpus"] = cpus + "\n"
		files["sys/fs/cgroup/"+dir+"/cpuset.cpus.effective"] = "0-3\n"
		files["sys/fs/cgroup/"+dir+"/cgroup.threads"] = ""
	}
	files["sys/fs/cgroup/cgroup.threads"], files["sys/fs/cgroup/cpuset.cpus.effective"] = "", "0-3\n"
	for name, text := range files {
		if err := errors.Join(os.MkdirAll(filepath.Dir(root.Path(name)), 0o755), os.WriteFile(root.Path(name), []byte(text), 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("ROOT", string(root))
	t.Setenv("PATH", root.Path("bin")+":"+os.Getenv("PATH"))
	session, err := shield.Store{Dir: root.Path("run/rtshield"), BootID: "x"}.Open("test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(session.Close)
	session.Housekeeping = shield.CPUsOf(cpuset.New(0, 1, 2))
	session.Add(shield.Grant{
		Key: shield.Key{Root: "/r", ID: "a"}, CPUs: shield.CPUsOf(cpuset.New(3)), IRQ: "keep", Level: shield.LevelCpuset, Bound: true,
		Owner: shield.Owner{PID: os.Getpid(), Start: 777}, Cgroups: shield.Cgroups{Cpuset: "/sys/fs/cgroup/system.slice/docker-a.scope"},
	})
	return root, session
}

func TestUnitsOfSystemdAreShrunkThroughSystemdAndGoBackWithoutATrace(t *testing.T) {
	root, session := hostOfSystemd(t)
	calls := func() string {
		text, _ := os.ReadFile(root.Path("calls"))
		_ = os.Remove(root.Path("calls"))
		return string(text)
	}
	run := func() {
		t.Helper()
		report, err := Run(root, session)
		if err != nil || len(report.Refused) > 0 {
			t.Fatalf("%v; refused %+v", err, report.Refused)
		}
	}
	has := func(when string, want map[string]string) {
		t.Helper()
		for dir, cpus := range want {
			if now, err := root.Read("sys/fs/cgroup", dir, "cpuset.cpus"); err != nil || now != cpus {
				t.Errorf("%s: cpuset.cpus of %s is %q (%v), want %q", when, dir, now, err, cpus)
			}
		}
	}
	const admins = "/run/systemd/system.control/machine.slice.d/50-AllowedCPUs.conf"

	run()
	shrunk := map[string]string{
		"user.slice": "0-2", "init.scope": "0-2", "machine.slice": "0-2", "system.slice": "", "system.slice/docker-a.scope": "3",
		"system.slice/dbus.service": "0-2", "plain": "0-2",
	}
	has("shrunk", shrunk)
	said := calls()
	for _, unit := range []string{"user.slice", "init.scope"} {
		if strings.Count(said, "set-property --runtime "+unit+" AllowedCPUs=0-2\n") != 1 {
			t.Errorf("systemd was not told once of %s:\n%s", unit, said)
		}
	}
	for _, other := range []string{"machine.slice Allowed", "dbus.service", "system.slice", "docker", "plain"} {
		if strings.Contains(said, other) {
			t.Errorf("systemd was told of %s:\n%s", other, said)
		}
	}

	run() // again: only looked at, once
	if said := calls(); strings.Count(said, "\n") != 1 || !strings.Contains(said, " show ") {
		t.Errorf("the second time systemctl was called with\n%s", said)
	}

	session.Grants[0].CPUs = shield.CPUsOf(cpuset.New(2, 3))
	run()
	has("a CPU more", map[string]string{"user.slice": "0-1", "machine.slice": "0-1"})

	session.Release(session.Grants[0].Key)
	run()
	// Kernels before 7.x would not take an empty set; a file does.
	has("released", map[string]string{"user.slice": "", "init.scope": "", "machine.slice": "0-2", "system.slice/dbus.service": "", "plain": ""})
	if text, err := root.Read(admins); err != nil || text != "AllowedCPUs=0-2" {
		t.Errorf("the administrator's drop-in is %q, %v", text, err)
	}
	left, _ := filepath.Glob(root.Path("run/systemd/system.control/*"))
	if len(left) != 1 {
		t.Errorf("left behind: %q", left)
	}
	if !session.Empty() {
		t.Errorf("the ledger still has %v", session.Baselines)
	}
}

func TestASystemdThatRefusesIsNamedAndCgroupsAreShrunkAllTheSame(t *testing.T) {
	root, session := hostOfSystemd(t)
	script := strings.Replace(systemctl, "set-property)", "set-property) echo no >&2; exit 1", 1)
	if err := os.WriteFile(root.Path("bin/systemctl"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	report, err := Run(root, session)
	if err != nil || len(report.Refused) != 2 {
		t.Fatalf("%v; refused %+v", err, report.Refused)
	}
	knob := shield.Knob{Kind: shield.AllowedCPUs, Name: "user.slice"}.String()
	if why := session.Unmovable[knob]; !strings.Contains(why, "AllowedCPUs=0-2: no") {
		t.Errorf("why not: %q", why)
	}
	if now, _ := root.Read("sys/fs/cgroup/user.slice/cpuset.cpus"); now != "0-2" {
		t.Errorf("cpuset.cpus of user.slice is %q", now)
	}
}
