package irqbalance

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
)

// hostWith is a host with these files. Its name is short: the path of a socket has 108 bytes.
func hostWith(t *testing.T, files map[string]string) host.Root {
	t.Helper()
	dir, err := os.MkdirTemp("", "irqb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for name, text := range files {
		write(t, filepath.Join(dir, name), text)
	}
	return host.Root(dir)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// process is what /proc says of one.
func process(pid int, environ string) map[string]string {
	dir := fmt.Sprintf("proc/%d/", pid)
	return map[string]string{
		dir + "comm":    "irqbalance\n",
		dir + "stat":    fmt.Sprintf("%d (irqbalance) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 777 0 0", pid),
		dir + "environ": environ,
	}
}

// listen is an irqbalance: this process, at the socket that its pid names. It shows what it was told.
func listen(t *testing.T, root host.Root) *told {
	t.Helper()
	for name, text := range process(os.Getpid(), "PATH=/bin\x00IRQBALANCE_BANNED_CPULIST=1\x00") {
		write(t, root.Path(name), text)
	}
	if err := os.MkdirAll(root.Path(runDir), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", root.Path(runDir, fmt.Sprintf("irqbalance%d.sock", os.Getpid())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	requests := &told{}
	banned := "00000002"
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			buffer := make([]byte, 500)
			n, _ := conn.Read(buffer)
			switch request := string(buffer[:n]); {
			case request == "setup":
				fmt.Fprintf(conn, "SLEEP 10 IRQ 24 LOAD 7 DIFF 0 CLASS 1 BANNED %s", banned)
			case n == 0:
				requests.add("hung up on without a word")
			default:
				requests.add(request)
				banned = "00000001,00000030"
			}
			conn.Close()
		}
	}()
	return requests
}

// told is what an irqbalance of ours was told. It serves one after the other, so that an answer means that all before it
// was heard.
type told struct {
	sync.Mutex
	requests []string
}

func (t *told) add(request string) {
	t.Lock()
	defer t.Unlock()
	t.requests = append(t.requests, request)
}

func (t *told) all(tb testing.TB, root host.Root, name string) []string {
	tb.Helper()
	if _, err := Read(root, name); err != nil {
		tb.Error(err)
	}
	t.Lock()
	defer t.Unlock()
	return slices.Clone(t.requests)
}

func TestOneWithASocketIsFoundAskedAndTold(t *testing.T) {
	root := hostWith(t, nil)
	requests := listen(t, root)
	name := fmt.Sprintf("%d:777", os.Getpid())
	if found := Find(root); len(found) != 1 || found[name] != "" {
		t.Fatalf("found %q, want %s", found, name)
	}
	state, err := Read(root, name)
	if err != nil || state.Interval != 10*time.Second || state.Banned.String() != "1" {
		t.Errorf("%+v, %v", state, err)
	}
	if err := Ban(root, name, cpuset.New(1, 4, 5)); err != nil {
		t.Fatal(err)
	}
	if state, err = Read(root, name); err != nil || state.Banned.String() != "4-5,32" {
		t.Errorf("%+v, %v", state, err)
	}
	// What it was started with it has again by itself, and an empty list would crash it.
	for _, cpus := range []cpuset.CPUSet{cpuset.New(1), cpuset.New()} {
		if err := Ban(root, name, cpus); err != nil {
			t.Fatal(err)
		}
	}
	for _, alone := range []cpuset.CPUSet{cpuset.New(24, 31), cpuset.New()} {
		if err := LeaveAlone(root, name, alone); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"settings cpus 1,4-5 ", "settings cpus NULL ", "settings cpus NULL ", "settings ban irqs 24 31 0 ", "settings ban irqs NONE"}
	if !slices.Equal(requests.all(t, root, name), want) {
		t.Errorf("it was told %q, want %q", requests.all(t, root, name), want)
	}
	var odd []int
	for cpu := 1; cpu < 512; cpu += 2 {
		odd = append(odd, cpu)
	}
	if err := Ban(root, name, cpuset.New(odd...)); err == nil || !strings.Contains(err.Error(), "499 characters") {
		t.Errorf("a list that irqbalance would cut gives %v", err)
	}
	if err := LeaveAlone(root, name, cpuset.New(odd...)); err == nil || !strings.Contains(err.Error(), "499 characters") {
		t.Errorf("a list of interrupts that irqbalance would cut gives %v", err)
	}
}

func TestOneThatEndedIsGone(t *testing.T) {
	root := hostWith(t, map[string]string{"run/irqbalance/irqbalance4711.sock": ""})
	if found := Find(root); len(found) != 0 {
		t.Errorf("found %q", found)
	}
	for _, name := range []string{"4711:777", fmt.Sprintf("%d:1", os.Getpid())} {
		if _, err := Read(root, name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOneThatDoesNotAnswerIsGivenUp(t *testing.T) {
	patience.Sec, patience.Usec = 0, 50000
	defer func() { patience.Sec, patience.Usec = 2, 0 }()
	root := hostWith(t, process(os.Getpid(), ""))
	if err := os.MkdirAll(root.Path(runDir), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", root.Path(runDir, fmt.Sprintf("irqbalance%d.sock", os.Getpid())))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	begun := time.Now()
	if _, err := Read(root, fmt.Sprintf("%d:777", os.Getpid())); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("%v", err)
	}
	if took := time.Since(begun); took > time.Second {
		t.Errorf("that took %v", took)
	}
	if len(Find(root)) != 1 {
		t.Error("one that is busy is not found")
	}
}

func TestWhatSetupSays(t *testing.T) {
	for reply, want := range map[string]string{
		"SLEEP 10 BANNED 00000000":    "10s, CPU , alone ",
		"SLEEP 1 BANNED 00000003\x00": "1s, CPU 0-1, alone ",
		"SLEEP 2 IRQ 5 LOAD 1 DIFF 2 CLASS 3 BANNED ffffffff,00000000,80000000":                           "2s, CPU 31,64-95, alone 5",
		"SLEEP 2 IRQ 5 LOAD 1 DIFF 2 CLASS 3 IRQ 1030 LOAD 4 DIFF 6 CLASS 7 IRQ 6 LOAD 0 BANNED 00000000": "2s, CPU , alone 5-6,1030",
		"":                   "irqbalance says",
		"SLEEP x BANNED 0":   "irqbalance says",
		"SLEEP 10 BANNED xy": `"xy" is not a CPU mask`,
	} {
		state, err := parseSetup(reply)
		got := fmt.Sprintf("%v, CPU %v, alone %v", state.Interval, state.Banned, state.Alone)
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("%q: %s, want %s", reply, got, want)
		}
	}
}

const debian = `# irqbalance is a daemon process that distributes interrupts
#IRQBALANCE_BANNED_CPUS=
#IRQBALANCE_ARGS=
`

func TestTheFileIsEditedAndRestored(t *testing.T) {
	root := hostWith(t, map[string]string{"sys/devices/system/cpu/isolated": "7\n", "sys/devices/system/cpu/nohz_full": " (null)\n"})
	for _, c := range []struct{ name, text, own string }{
		{"Debian's", debian, "7"},
		{"empty", "", "7"},
		{"with a list", debian + "IRQBALANCE_BANNED_CPULIST=0-1\n", "0-1"},
		{"with quotes", "IRQBALANCE_BANNED_CPULIST=\"0,2\"\n", "0,2"},
		{"with a mask, which comes first", "IRQBALANCE_BANNED_CPUS=00000001,0000000c\nIRQBALANCE_BANNED_CPULIST=5\n", "2-3,32"},
		{"the last of two", "IRQBALANCE_BANNED_CPULIST=1\nIRQBALANCE_BANNED_CPULIST=2\n", "2"},
		{"without a newline at its end", "IRQBALANCE_BANNED_CPULIST=3", "3"},
	} {
		own, err := bannedBy(root, parseEnv(c.text))
		if err != nil || own.String() != c.own {
			t.Errorf("%s: bans %q (%v), want %s", c.name, own, err, c.own)
		}
		text := c.text
		for _, list := range []string{"4-5", "3-7", "6"} {
			cpus, _ := cpuset.Parse(list)
			text = withBan(root, text, cpus)
			if now, err := bannedBy(root, parseEnv(text)); err != nil || !now.Equals(cpus) {
				t.Errorf("%s: bans %q (%v), want %s:\n%s", c.name, now, err, list, text)
			}
			if env := parseEnv(text); env[maskVariable] != "" {
				t.Errorf("%s: contradicted by %s=%s", c.name, maskVariable, env[maskVariable])
			}
			if !strings.HasPrefix(text, c.text) || strings.Count(text, blockEnd) != 1 {
				t.Errorf("%s: it became\n%s", c.name, text)
			}
		}
		if back := withBan(root, text, own); back != c.text {
			t.Errorf("%s: it was\n%s\nand now is\n%s", c.name, c.text, back)
		}
		// What the administrator adds meanwhile stays.
		if back := withBan(root, text+"\n#mine\n", own); !strings.HasSuffix(back, "#mine\n") || strings.Contains(back, "rtshield") {
			t.Errorf("%s, edited meanwhile: %q", c.name, back)
		}
	}
}

// service is an irqbalance without a socket that systemd runs, and a systemctl that restarts it with the file's variables.
func service(t *testing.T, systemctl string) host.Root {
	t.Helper()
	files := process(4711, "PATH=/bin\x00")
	maps.Copy(files, map[string]string{
		"sys/fs/cgroup/system.slice/irqbalance.service/cgroup.procs": "4711\n",
		"run/systemd/system/x":            "",
		"etc/default/irqbalance":          debian,
		"bin/systemctl":                   "#!/bin/sh\necho \"$*\" >>\"$ROOT/calls\"\n" + systemctl,
		"sys/devices/system/cpu/isolated": "\n",
	})
	root := hostWith(t, files)
	if err := os.Chmod(root.Path("bin/systemctl"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("ROOT", string(root))
	t.Setenv("PATH", root.Path("bin")+":"+os.Getenv("PATH"))
	return root
}

const restarts = `case $* in *try-restart*) grep -v '^#' "$ROOT/etc/default/irqbalance" | tr '\n' '\0' >"$ROOT/proc/4711/environ" ;; esac`

func TestAServiceWithoutASocketIsToldByItsFileAndOneRestart(t *testing.T) {
	root := service(t, restarts)
	file := "/etc/default/irqbalance"
	if err := os.Chmod(root.Path(file), 0o640); err != nil {
		t.Fatal(err)
	}
	if found := Find(root); len(found) != 1 || found[file] != "" {
		t.Fatalf("found %q", found)
	}
	for range 2 { // the second time nothing is left to do
		if err := Ban(root, file, cpuset.New(2, 3)); err != nil {
			t.Fatal(err)
		}
	}
	if state, err := Read(root, file); err != nil || state.Banned.String() != "2-3" {
		t.Errorf("%+v, %v", state, err)
	}
	if left, own, found := Leftover(root); !found || left != file || !own.IsEmpty() {
		t.Errorf("leftover %s %q %v", left, own, found)
	}
	if err := Ban(root, file, cpuset.New()); err != nil {
		t.Fatal(err)
	}
	if text, _ := root.Read(file); text+"\n" != debian {
		t.Errorf("it became %q", text)
	}
	if info, err := os.Stat(root.Path(file)); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("its mode became %v, %v", info.Mode(), err)
	}
	calls, _ := root.Read("calls")
	if restarts := strings.Count(calls, "try-restart irqbalance.service"); restarts != 2 || strings.Count(calls, "reset-failed irqbalance.service") != 2 {
		t.Errorf("systemctl was called with\n%s", calls)
	}
}

func TestWhatAKilledWriterLeftBesideTheFileIsSwept(t *testing.T) {
	others := []string{".irqbalance.swp", ".irqbalance7~", ".irqbalance", "irqbalance8", "irqbalance"}
	files := map[string]string{"etc/default/.irqbalance4711": "half a"}
	for _, name := range others {
		files["etc/default/"+name] = "somebody else's"
	}
	root := hostWith(t, files)
	if err := errors.Join(Sweep(root, "/etc/default/irqbalance"), Sweep(root, "4711:777")); err != nil {
		t.Error(err)
	}
	entries, err := os.ReadDir(root.Path("etc/default"))
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, entry := range entries {
		left = append(left, entry.Name())
	}
	if slices.Sort(others); !slices.Equal(left, others) {
		t.Errorf("left is %q, want %q", left, others)
	}
}

func TestAServiceThatStoppedStillGetsItsFileBack(t *testing.T) {
	root := service(t, restarts)
	file := "/etc/default/irqbalance"
	if err := Ban(root, file, cpuset.New(2)); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(root.Path("sys/fs/cgroup/system.slice")); err != nil {
		t.Fatal(err)
	}
	if found := Find(root); len(found) != 1 {
		t.Fatalf("found %q", found)
	}
	if state, err := Read(root, file); err != nil || state.Banned.String() != "2" {
		t.Errorf("%+v, %v", state, err)
	}
	if err := Ban(root, file, cpuset.New()); err != nil {
		t.Fatal(err)
	}
	if text, _ := root.Read(file); text+"\n" != debian {
		t.Errorf("it became %q", text)
	}
	if found := Find(root); len(found) != 0 {
		t.Errorf("found %q", found)
	}
}

func TestARestartThatFailsOrChangesNothingIsSaid(t *testing.T) {
	for systemctl, want := range map[string]string{
		"case $* in *try-restart*) echo no such job >&2; exit 1 ;; esac": "no such job",
		"": "bans CPU \"\", not \"2\"",
	} {
		root := service(t, systemctl)
		if err := Ban(root, "/etc/default/irqbalance", cpuset.New(2)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestOneThatCannotBeToldSaysWhy(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"no service of systemd": {"run/irqbalance.pid": "4711\n", "etc/default/irqbalance": debian},
		"neither /etc/default":  {"sys/fs/cgroup/system.slice/irqbalance.service/cgroup.procs": "4711\n", "run/systemd/system/x": ""},
	} {
		maps.Copy(files, process(4711, ""))
		found := Find(hostWith(t, files))
		if len(found) != 1 || !strings.Contains(found["4711"], name) {
			t.Errorf("%q, want %s", found, name)
		}
	}
	// A pid file of one that is gone says nothing.
	if found := Find(hostWith(t, map[string]string{"run/irqbalance.pid": "4711\n", "proc/4711/comm": "bash\n"})); len(found) != 0 {
		t.Errorf("found %q", found)
	}
}

func BenchmarkFindWithoutIrqbalance(b *testing.B) {
	root := host.Root(b.TempDir())
	for b.Loop() {
		if len(Find(root)) > 0 {
			b.Fatal("found one")
		}
	}
}
