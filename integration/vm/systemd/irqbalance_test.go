//go:build vmguest

package systemd_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/integration/snapshot"
	"github.com/rtshield/rtshield/internal/host"
)

const irqbalanceFile = "/etc/default/irqbalance"

// immovable is an interrupt that nobody can move: the queues of disks, which the kernel manages itself, and its clock.
var immovable = regexp.MustCompile(`^(virtio\d+-req\.\d+|nvme\d+q[1-9]\d*|timer)$`)

// movable maps the interrupts with a handler that can be moved to their names.
func movable(t testing.TB) map[string]string {
	t.Helper()
	found := map[string]string{}
	files, _ := filepath.Glob("/sys/kernel/irq/*/actions")
	for _, file := range files {
		number := filepath.Base(filepath.Dir(file))
		name, err := os.ReadFile(file)
		_, errAffinity := os.Stat("/proc/irq/" + number + "/smp_affinity_list")
		if text := strings.TrimSpace(string(name)); err == nil && errAffinity == nil && text != "" && !immovable.MatchString(text) {
			found[number] = text
		}
	}
	if len(found) < 3 {
		t.Fatalf("this VM should have network cards with interrupts of their own: %v", found)
	}
	return found
}

func affinity(t testing.TB, number string) cpuset.CPUSet {
	t.Helper()
	return parse(t, text(t, "/proc/irq/"+number+"/smp_affinity_list"))
}

// returned lists the interrupts that may arrive on held.
func returned(t testing.TB, held cpuset.CPUSet) []string {
	t.Helper()
	var found []string
	for number, name := range movable(t) {
		if now := affinity(t, number); !now.Intersection(held).IsEmpty() {
			found = append(found, fmt.Sprintf("irq %s (%s) on CPU %s", number, name, now))
		}
	}
	return found
}

// balance starts irqbalance, which looks each second, and puts back in the end what it has moved.
func balance(t *testing.T) {
	t.Helper()
	file := text(t, irqbalanceFile)
	before := snapshot.Take()
	write(t, irqbalanceFile, file+"\nIRQBALANCE_ARGS=\"--interval=1\"\n")
	t.Cleanup(func() {
		run(t, "systemctl", "stop", "irqbalance")
		for path, was := range before {
			if strings.HasPrefix(path, "/proc/irq/") {
				_ = os.WriteFile(path, []byte(was), 0) // the kernel refuses those that it manages
			}
		}
		write(t, irqbalanceFile, file+"\n")
	})
	run(t, "systemctl", "start", "irqbalance")
	eventually(t, func() error {
		for number := range movable(t) {
			if path := "/proc/irq/" + number + "/smp_affinity_list"; text(t, path) != before[path] {
				return nil
			}
		}
		return fmt.Errorf("irqbalance has moved no interrupt")
	})
}

func write(t testing.TB, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// banned asks irqbalance for the CPUs that it keeps off, by its socket.
func banned(t testing.TB) cpuset.CPUSet {
	t.Helper()
	sockets, _ := filepath.Glob("/run/irqbalance/irqbalance*.sock")
	if len(sockets) != 1 {
		t.Fatalf("irqbalance has the sockets %q", sockets)
	}
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: sockets[0], Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	credentials := unix.UnixCredentials(&unix.Ucred{Pid: int32(os.Getpid()), Uid: 0, Gid: 0})
	if _, _, err := conn.WriteMsgUnix([]byte("setup"), credentials, nil); err != nil {
		t.Fatal(err)
	}
	reply := make([]byte, 1<<16)
	n, err := conn.Read(reply)
	if err != nil {
		t.Fatal(err)
	}
	_, list, found := strings.Cut(string(reply[:n]), "BANNED ")
	if !found {
		t.Fatalf("irqbalance says %q", reply[:n])
	}
	cpus, err := host.ParseMask(strings.Trim(list, " \n\x00"))
	if err != nil {
		t.Fatal(err)
	}
	return cpus
}

// keepsOff waits until irqbalance shows that it leaves out just these CPUs: with its next scan.
func keepsOff(t *testing.T, want cpuset.CPUSet) {
	t.Helper()
	eventually(t, func() error {
		if now := banned(t); !now.Equals(want) {
			return fmt.Errorf("irqbalance keeps off CPU %q, want %q", now, want)
		}
		return nil
	})
}

// traffic makes the network cards interrupt until the test ends.
func traffic(t *testing.T) {
	t.Helper()
	cards, _ := filepath.Glob("/sys/class/net/*/device")
	for i, card := range cards {
		name := filepath.Base(filepath.Dir(card))
		run(t, "ip", "address", "replace", fmt.Sprintf("10.0.%d.15/24", 2+i), "dev", name)
		t.Cleanup(func() { run(t, "ip", "address", "flush", "dev", name) })
		conn, err := net.Dial("udp", fmt.Sprintf("10.0.%d.255:9", 2+i))
		if err != nil {
			t.Fatal(err)
		}
		raw, _ := conn.(*net.UDPConn).SyscallConn()
		_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1) })
		done := make(chan struct{})
		t.Cleanup(func() { close(done); conn.Close() })
		go func() {
			for tick := time.Tick(5 * time.Millisecond); ; {
				select {
				case <-done:
					return
				case <-tick:
					_, _ = conn.Write([]byte("rtshield"))
				}
			}
		}()
	}
}

// watch fails the test if an interrupt may arrive on held meanwhile. Each ten seconds irqbalance is made to place all
// interrupts anew, as it does when one appears; on a quiet machine it would move nothing.
func watch(t *testing.T, held cpuset.CPUSet, while time.Duration) {
	t.Helper()
	came := map[string]bool{}
	var placed time.Time
	for end := time.Now().Add(while); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		if time.Since(placed) > 10*time.Second {
			run(t, "systemctl", "kill", "--signal=HUP", "irqbalance")
			placed = time.Now()
		}
		for _, irq := range returned(t, held) {
			came[irq] = true
		}
	}
	for irq := range came {
		t.Errorf("within %v: %s; held is %s", while, irq, held)
	}
}

func TestIrqbalanceBringsNoInterruptBackForAMinute(t *testing.T) {
	balance(t)
	file, before := text(t, irqbalanceFile), banned(t)
	settings := snapshot.Take("/run/rtshield/ledger.json")
	traffic(t)
	c := shielded(t)
	c.holds(t, "running")
	held := heldBy(c.grant(t))
	keepsOff(t, before.Union(held))
	watch(t, held, time.Minute)
	run(t, "docker", "stop", c.id)
	ended(t)
	if now := text(t, irqbalanceFile); now != file {
		t.Errorf("%s is %q, was %q", irqbalanceFile, now, file)
	}
	keepsOff(t, before)
	run(t, "rtshield", "reconcile") // until irqbalance shows it, the ledger keeps what it was
	var lines []string
	for _, line := range snapshot.Diff(settings, snapshot.Take("/run/rtshield/ledger.json")) {
		if !strings.HasPrefix(line, "/proc/irq/") { // where interrupts go is irqbalance's again
			lines = append(lines, line)
		}
	}
	differences(t, lines)
}

func TestAnIrqbalanceThatStartsLaterBringsNoInterruptBack(t *testing.T) {
	c := shielded(t)
	held := heldBy(c.grant(t))
	balance(t)
	run(t, "rtshield", "reconcile")
	watch(t, held, 15*time.Second)
	run(t, "docker", "stop", c.id)
	ended(t)
	keepsOff(t, cpuset.New())
	run(t, "rtshield", "reconcile")
}
