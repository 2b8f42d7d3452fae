//go:build vmguest

package guest_test

import (
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/utils/cpuset"
)

// balancer is a running irqbalance, Debian's.
type balancer struct {
	rig *rig
	cmd *exec.Cmd
	// address is its socket's, as Go writes it.
	address string
}

// balance starts irqbalance, which scans each second. When the test ends it is stopped, and the interrupts go back to where
// they were before the rig.
func (r *rig) balance(environ ...string) *balancer {
	r.Helper()
	if err := os.MkdirAll("/run/irqbalance", 0o755); err != nil {
		r.Fatal(err)
	}
	return r.launch("/run/irqbalance/irqbalance%d.sock", environ...)
}

func (r *rig) launch(address string, environ ...string) *balancer {
	r.Helper()
	b := &balancer{rig: r, cmd: exec.Command("/usr/sbin/irqbalance", "--foreground", "--interval=1"), address: address}
	b.cmd.Env = append(os.Environ(), environ...)
	if err := b.cmd.Start(); err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() {
		b.stop(unix.SIGKILL)
		_ = os.RemoveAll("/run/irqbalance")
		for path, was := range r.before.Settings {
			if strings.HasPrefix(path, "/proc/irq/") {
				_ = os.WriteFile(path, []byte(was), 0) // the kernel refuses those that it manages
			}
		}
	})
	if strings.Contains(address, "%d") {
		b.address = fmt.Sprintf(address, b.cmd.Process.Pid)
	}
	r.eventually(func() error {
		_, err := b.ask("setup")
		return err
	})
	return b
}

func (b *balancer) stop(signal unix.Signal) {
	if b.cmd.ProcessState == nil {
		_ = b.cmd.Process.Signal(signal)
		_ = b.cmd.Wait()
	}
}

// ask sends one request and gives the reply.
func (b *balancer) ask(request string) (string, error) {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: b.address, Net: "unix"})
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	credentials := unix.UnixCredentials(&unix.Ucred{Pid: int32(os.Getpid())})
	if _, _, err := conn.WriteMsgUnix([]byte(request), credentials, nil); err != nil {
		return "", err
	}
	reply := make([]byte, 1<<16)
	n, _ := conn.Read(reply)
	return string(reply[:n]), nil
}

func (b *balancer) says(request string) string {
	b.rig.Helper()
	reply, err := b.ask(request)
	if err != nil {
		b.rig.Fatal(err)
	}
	return reply
}

// banned is what it shows that it leaves out.
func (b *balancer) banned() cpuset.CPUSet {
	b.rig.Helper()
	reply := b.says("setup")
	_, mask, found := strings.Cut(reply, "BANNED ")
	if !found {
		b.rig.Fatalf("irqbalance says %q", reply)
	}
	return b.rig.maskOf(mask)
}

// bans waits until it shows it, which takes a scan.
func (b *balancer) bans(want cpuset.CPUSet) {
	b.rig.Helper()
	b.rig.eventually(func() error {
		if now := b.banned(); !now.Equals(want) {
			return fmt.Errorf("irqbalance leaves out CPU %q, want %q", now, want)
		}
		return nil
	})
}

// reaching lists the movable interrupts that may arrive on CPUs.
func (r *rig) reaching(cpus cpuset.CPUSet) []string {
	r.Helper()
	_, movable := interrupts(r)
	var found []string
	for number, name := range movable {
		if now := r.affinity(number); !now.Intersection(cpus).IsEmpty() {
			found = append(found, fmt.Sprintf("irq %s (%s) on CPU %s", number, name, now))
		}
	}
	return found
}

// staysAway fails if a movable interrupt comes to held, while irqbalance is made to place all of them anew at each scan.
func (b *balancer) staysAway(when string, held cpuset.CPUSet, long time.Duration) {
	b.rig.Helper()
	for end := time.Now().Add(long); time.Now().Before(end); time.Sleep(250 * time.Millisecond) {
		_ = b.cmd.Process.Signal(unix.SIGHUP) // scan the topology again
		if found := b.rig.reaching(held); len(found) > 0 {
			b.rig.Fatalf("%s: %s; held is %s", when, strings.Join(found, ", "), held)
		}
	}
}

// brings waits until irqbalance has brought an interrupt back.
func (b *balancer) brings(held cpuset.CPUSet) {
	b.rig.Helper()
	b.rig.eventually(func() error {
		_ = b.cmd.Process.Signal(unix.SIGHUP)
		if len(b.rig.reaching(held)) == 0 {
			return fmt.Errorf("irqbalance, untold, brings no interrupt to CPU %s: nothing is tested", held)
		}
		return nil
	})
}

// forgets waits until nothing is left to put back: what irqbalance was told is remembered until it shows it.
func (r *rig) forgets() {
	r.Helper()
	r.eventually(func() error {
		r.must(r.command("reconcile"))
		if data, err := os.ReadFile(r.ledger); err == nil {
			return fmt.Errorf("there still is a ledger: %s", data)
		}
		return nil
	})
}

func (r *rig) held(id string) cpuset.CPUSet {
	r.Helper()
	grant := r.grant(id)
	return grant.CPUs.Union(grant.Idle.CPUSet)
}

func (r *rig) limitOfIrqbalance(id string) string {
	r.Helper()
	for _, limit := range r.grant(id).Limits {
		if strings.HasPrefix(limit.What, "irqbalance ") {
			return limit.String()
		}
	}
	return ""
}

func TestIrqbalanceBringsNoInterruptBack(t *testing.T) {
	once(t, func(r *rig) {
		b := r.balance()
		before := b.banned()
		r.begin("run", "a", class("fifo"), annotate("cpus", "2"))
		held := r.held("a")
		b.staysAway("running", held, 20*time.Second)
		b.bans(before.Union(held))
		if limit := r.limitOfIrqbalance("a"); limit != "" {
			t.Errorf("status names a limit: %s", limit)
		}

		// The proof that it would: somebody takes the ban away. CPUs of isolcpus= it leaves alone by itself.
		if !isolated(r) {
			b.says("settings cpus NULL")
			b.brings(held)
			r.contains("status", r.limitOfIrqbalance("a"), "may bring interrupts to CPU "+held.String(), "rtshield reconcile")
			r.must(r.command("reconcile"))
			b.staysAway("reconciled", held, 5*time.Second)
		}

		r.end("a")
		b.bans(before)
		r.forgets()
	})
}

// alone are the interrupts that it was told to leave where they are.
func (b *balancer) alone() []string {
	b.rig.Helper()
	var numbers []string
	for _, match := range regexp.MustCompile(`IRQ (\d+)`).FindAllStringSubmatch(b.says("setup"), -1) {
		numbers = append(numbers, match[1])
	}
	slices.Sort(numbers)
	return numbers
}

func TestIrqbalanceLeavesClaimedInterruptsAlone(t *testing.T) {
	shownOn(t, "6.12")
	once(t, func(r *rig) {
		_, movable := interrupts(r)
		numbers := slices.Sorted(maps.Keys(movable))
		own, claimed := numbers[0], numbers[1]
		r.classes("[class.fifo]\nirq_claim = [\"*\"]\n")
		b := r.balance()
		b.says("settings ban irqs " + own + " 0 ")
		before := r.affinity(claimed)
		r.begin("run", "a", class("fifo"), annotate("cpus", "2"), annotate("irq-claim", movable[claimed]))
		granted := r.grant("a").CPUs
		stays := func(when string) {
			r.Helper()
			if both := b.alone(); !slices.Contains(both, own) || !slices.Contains(both, claimed) {
				t.Errorf("%s: irqbalance leaves interrupts %s alone, want %s and %s", when, both, own, claimed)
			}
			for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(250 * time.Millisecond) {
				_ = b.cmd.Process.Signal(unix.SIGHUP)
				if now := r.affinity(claimed); !now.IsSubsetOf(granted.CPUSet) {
					r.Fatalf("%s: irq %s (%s) is on CPU %s, claimed onto %s", when, claimed, movable[claimed], now, granted)
				}
			}
			if limit := r.limitOfIrqbalance("a"); limit != "" {
				t.Errorf("%s: status names a limit: %s", when, limit)
			}
		}
		stays("running")

		// The proof that it would not, untold: what it takes for an interrupt of its own goes where it wants.
		b.says("settings ban irqs NONE")
		r.contains("status", r.limitOfIrqbalance("a"), "irqbalance may take claimed interrupts away", "rtshield reconcile")
		if !isolated(r) {
			r.eventually(func() error {
				_ = b.cmd.Process.Signal(unix.SIGHUP)
				if r.affinity(claimed).IsSubsetOf(granted.CPUSet) {
					return fmt.Errorf("irqbalance, untold, leaves irq %s where it is: nothing is tested", claimed)
				}
				return nil
			})
		}
		b.says("settings ban irqs " + own + " 0 ")
		r.must(r.command("reconcile"))
		stays("reconciled")

		r.end("a")
		if left := b.alone(); !slices.Equal(left, []string{own}) {
			t.Errorf("afterwards irqbalance leaves interrupts %s alone, want %s", left, own)
		}
		b.stop(unix.SIGKILL)
		if now := r.affinity(claimed); !now.Equals(before) {
			t.Errorf("irq %s is on CPU %s, was on %s", claimed, now, before)
		}
		r.forgets()
	})
}

func TestIrqbalanceKeepsItsOwnBan(t *testing.T) {
	shownOn(t, "6.12")
	once(t, func(r *rig) {
		own := cpuset.New(1)
		b := r.balance("IRQBALANCE_BANNED_CPULIST=1")
		b.bans(own)
		r.begin("run", "a", class("fifo"))
		r.begin("run", "b", class("fifo"))
		first, second := r.held("a"), r.held("b")
		b.bans(own.Union(first).Union(second))
		r.end("a")
		b.bans(own.Union(second))
		// One that comes before irqbalance has scanned must not take what it still shows for its own.
		r.end("b")
		r.begin("run", "c", class("fifo"))
		b.bans(own.Union(r.held("c")))
		r.end("c")
		b.bans(own)
		r.forgets()

		// A ban that was given by hand comes back too, though irqbalance was started with another.
		b.says("settings cpus 2 ")
		b.bans(cpuset.New(2))
		r.begin("run", "d", class("fifo"))
		b.bans(cpuset.New(2).Union(r.held("d")))
		r.end("d")
		b.bans(cpuset.New(2))
		r.forgets()
	})
}

func TestAnIrqbalanceThatStartsLaterIsToldByReconcile(t *testing.T) {
	shownOn(t, "6.12")
	once(t, func(r *rig) {
		if isolated(r) {
			r.Skip("elsewhere: CPUs of isolcpus= an irqbalance leaves alone by itself")
		}
		r.begin("run", "a", class("fifo"), annotate("cpus", "2"))
		held := r.held("a")
		first := r.balance()
		first.brings(held)
		r.must(r.command("reconcile"))
		first.staysAway("started later", held, 5*time.Second)

		first.stop(unix.SIGKILL) // its socket stays behind
		second := r.balance("IRQBALANCE_BANNED_CPULIST=1")
		second.brings(held)
		r.must(r.command("reconcile"))
		second.staysAway("restarted", held, 5*time.Second)
		second.bans(held.Union(cpuset.New(1)))

		r.end("a")
		second.bans(cpuset.New(1))
		r.forgets()
	})
}

func TestAnIrqbalanceWithoutADirectoryIsTold(t *testing.T) {
	shownOn(t, "6.12")
	once(t, func(r *rig) {
		_ = os.RemoveAll("/run/irqbalance")
		b := r.launch("@" + strings.Repeat("\x00", 107)) // all of sun_path is zero
		own := b.banned()                                // the CPUs of isolcpus=
		r.begin("run", "a", class("fifo"))
		b.bans(own.Union(r.held("a")))
		r.end("a")
		b.bans(own)
		r.forgets()
	})
}

func TestAnIrqbalanceThatCannotBeToldIsALimit(t *testing.T) {
	shownOn(t, "6.12")
	once(t, func(r *rig) {
		// One that was built without a socket, started by an init script: a sleeping process of that name, with its pid file.
		program := filepath.Join(r.dir, "irqbalance")
		if err := os.Symlink("/bin/busybox", program); err != nil {
			r.Fatal(err)
		}
		cmd := exec.Cmd{Path: program, Args: []string{"sleep", "1000"}}
		if err := cmd.Start(); err != nil {
			r.Fatal(err)
		}
		r.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			_ = os.Remove("/run/irqbalance.pid")
		})
		if err := os.WriteFile("/run/irqbalance.pid", fmt.Appendln(nil, cmd.Process.Pid), 0o644); err != nil {
			r.Fatal(err)
		}
		r.begin("run", "a", class("fifo"))
		r.contains("status", r.limitOfIrqbalance("a"), "may bring interrupts to CPU "+r.held("a").String(), "no socket")
		r.end("a")
		r.asBefore("after delete")
	})
}
