package runc_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/integration/runc/rig"
	"github.com/rtshield/rtshield/internal/host/interference"
	"github.com/rtshield/rtshield/internal/status"
)

// arrived is what status counts on CPU 1 for the only container, and all that it knows.
func arrived(r *rig.Rig) (interference.CPU, interference.Delta) {
	r.Helper()
	var now status.Status
	text := r.Must(r.Shield("status", "--json")).Stdout
	if err := json.Unmarshal([]byte(text), &now); err != nil {
		r.Fatal(err)
	}
	if len(now.Grants) != 1 || now.Grants[0].Interference == nil || len(now.Grants[0].Interference.CPUs) != 1 {
		r.Fatalf("status counts no interference: %s", text)
	}
	delta := *now.Grants[0].Interference
	if cpu := delta.CPUs[0]; strconv.Itoa(cpu.CPU) != shieldCPU || cpu.Offline {
		r.Fatalf("status counts on %+v", cpu)
	}
	return delta.CPUs[0], delta
}

// ran is for how long foreign tasks did.
func ran(r *rig.Rig) time.Duration {
	r.Helper()
	cpu, delta := arrived(r)
	if cpu.ForeignNS == nil || delta.ForeignNS == nil || *cpu.ForeignNS != *delta.ForeignNS {
		r.Fatalf("this host's cpuacct tells for how long foreign tasks ran, and status does not: %+v", delta)
	}
	return time.Duration(*cpu.ForeignNS)
}

// others is for how long all but the container have run on CPU 1 since boot.
func others(r *rig.Rig) time.Duration {
	r.Helper()
	var ns [2]int64
	for i, cgroup := range []string{rig.CgroupParent + "/web", "/"} {
		fields := strings.Fields(r.Text(rig.Cgroup("cpuacct", cgroup, "cpuacct.usage_percpu")))
		ns[i], _ = strconv.ParseInt(fields[1], 10, 64)
	}
	return time.Duration(ns[1] - ns[0])
}

// between fails unless the foreign time that status shows grows by what others had while work was done: other tasks of
// this machine are exempt, so CPU 1 is not quiet.
func between(r *rig.Rig, work func()) {
	r.Helper()
	outer := others(r)
	before := ran(r)
	inner := others(r)
	work()
	inner = others(r) - inner
	grown := ran(r) - before
	outer = others(r) - outer
	const turn = 10 * time.Millisecond // what has not been accounted for yet of who is running
	if grown < inner-turn || grown > outer+turn {
		r.Errorf("status counts %v of foreign tasks, and they had %v to %v", grown, inner, outer)
	}
}

func TestStatusCountsWhatArrivedSinceTheContainerGotItsCPU(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		r.Create("web", r.Bundle("web", rig.Class("fifo")))
		atStart, _ := arrived(r)
		r.Must(r.OCI("start", "web"))
		time.Sleep(500 * time.Millisecond)
		cpu, delta := arrived(r)
		if delta.Seconds < 0.5 || delta.Seconds > 20 {
			r.Errorf("%v s", delta.Seconds)
		}
		// Other tasks of this machine are exempt and may run there, with timers of their own; all since boot would be
		// millions.
		if cpu.Ticks <= atStart.Ticks || float64(cpu.Ticks) > delta.Seconds*20000 {
			r.Errorf("%d ticks in %v s, %d before the start", cpu.Ticks, delta.Seconds, atStart.Ticks)
		}
		for _, device := range cpu.Devices {
			info, err := os.Stat(fmt.Sprintf("/proc/irq/%d/smp_affinity_list", device.IRQ))
			// Once it may arrive: the kernel moves it with its next interrupt.
			if device.Count > 1 && (err != nil || info.Mode().Perm()&0o200 != 0) {
				r.Errorf("irq %d (%s) could be moved away, and arrived %d times", device.IRQ, device.Name, device.Count)
			}
		}
		if took := time.Duration(*delta.ForeignNS); took.Seconds() > delta.Seconds+0.1 {
			r.Errorf("foreign tasks ran %v in %v s", took, delta.Seconds)
		}
		has(r, "status", r.Must(r.Shield("status")).Stdout, "what arrived on the CPUs of web:", "\n  cpu 1: ", " device irq", " ticks, ", " ipi", "foreign tasks ", " ms in ")
		// What is kept for it is small: the ledger is written several times during create.
		if n := len(r.Grant("web").Start); n == 0 || n > 2000 {
			r.Errorf("the ledger holds %d bytes for it", n)
		}
		r.End("web")
		r.AsBefore("after delete")
	})
}

func TestAnInterruptThatComesToTheGrantedCPUIsNamed(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		r.Detach("web", r.Bundle("web", with("fifo", "irq", "keep")...))
		number, name := aimed(r)
		named := func(devices []interference.Device) uint64 {
			for _, device := range devices {
				if device.IRQ == number && device.Name == name {
					return device.Count
				}
			}
			return 0
		}
		file := fmt.Sprintf("/proc/irq/%d/smp_affinity_list", number)
		was := r.Text(file)
		r.Cleanup(func() {
			put(r, file, was)
			fire(r) // it moves with its next arrival
		})
		aim := func(cpu string) {
			put(r, file, cpu)
			r.Eventual(func() error {
				fire(r)
				if now := r.Text(filepath.Join(filepath.Dir(file), "effective_affinity_list")); now != cpu {
					return fmt.Errorf("irq %d still goes to CPU %s", number, now)
				}
				return nil
			})
		}
		aim("0")
		before, _ := arrived(r)
		fire(r)
		if cpu, _ := arrived(r); named(cpu.Devices) != named(before.Devices) {
			r.Errorf("irq %d (%s) went to CPU 0 and was counted on CPU 1: %+v", number, name, cpu.Devices)
		}
		aim(shieldCPU)
		before, _ = arrived(r)
		r.Eventual(func() error {
			fire(r)
			if cpu, _ := arrived(r); named(cpu.Devices) <= named(before.Devices) {
				return fmt.Errorf("irq %d (%s) goes to CPU 1 and is not counted: %+v", number, name, cpu.Devices)
			}
			return nil
		})
		has(r, "status", r.Must(r.Shield("status")).Stdout, fmt.Sprintf("irq %d (%s) ", number, name))
		put(r, file, was)
		fire(r)
		r.End("web")
	})
}

// fire makes devices work, without a packet to anybody: the hardware's random numbers are read, and a disk is synced.
func fire(r *rig.Rig) {
	r.Helper()
	file, err := os.CreateTemp(r.Dir, "fire-")
	if err != nil {
		r.Fatal(err)
	}
	defer os.Remove(file.Name())
	defer file.Close()
	random, err := os.Open("/dev/hwrng")
	if err == nil {
		defer random.Close()
	}
	for range 50 {
		if random != nil {
			_, _ = io.CopyN(io.Discard, random, 64)
		}
		_, _ = file.WriteString("x")
		_ = file.Sync()
	}
}

// aimed finds the movable interrupt that fire sets off most often.
func aimed(r *rig.Rig) (number int, name string) {
	r.Helper()
	total := func() map[string]uint64 {
		sum := map[string]uint64{}
		for line := range strings.Lines(r.Text("/proc/interrupts")) {
			fields := strings.Fields(line)
			if label, isRow := strings.CutSuffix(fields[0], ":"); isRow && len(fields) > 3 {
				for _, field := range fields[1:3] {
					n, _ := strconv.ParseUint(field, 10, 64)
					sum[label] += n
				}
			}
		}
		return sum
	}
	movable := r.MovableIRQs(0)
	before := total()
	fire(r)
	after := total()
	maps.DeleteFunc(after, func(label string, n uint64) bool {
		return !slices.Contains(movable, label) || n == before[label]
	})
	best := ""
	for label, n := range after {
		if best == "" || n-before[label] > after[best]-before[best] {
			best = label
		}
	}
	number, err := strconv.Atoi(best)
	if err != nil {
		r.Fatalf("random numbers and the disk set off no interrupt that could be moved: %v", after)
	}
	return number, r.Text("/sys/kernel/irq/" + best + "/actions")
}

// spin is a busy loop that ends by itself.
func spin(seconds string) []string {
	return []string{rig.Busybox, "timeout", seconds, rig.Busybox, "sh", "-c", "while :; do :; done"}
}

func TestATaskThatIsNotTheContainersIsCountedAsForeign(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		r.Detach("web", r.Bundle("web", rig.Class("fifo")))
		between(r, func() {
			words := spin("30")
			cmd := exec.Command(words[0], words[1:]...)
			cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true} // with timeout's own timer
			if err := cmd.Start(); err != nil {
				r.Fatal(err)
			}
			pid := cmd.Process.Pid
			defer func() {
				_ = unix.Kill(-pid, unix.SIGKILL)
				_ = cmd.Wait()
			}()
			var one unix.CPUSet
			one.Set(1)
			if err := unix.SchedSetaffinity(pid, &one); err != nil {
				r.Fatal(err)
			}
			r.Eventual(func() error { // others may be busy there too
				had, err := strconv.ParseInt(strings.Fields(r.Text(fmt.Sprintf("/proc/%d/schedstat", pid)))[0], 10, 64)
				if err == nil && time.Duration(had) < 300*time.Millisecond {
					err = fmt.Errorf("the busy loop had %v", time.Duration(had))
				}
				return err
			})
		})
		r.End("web")
		r.AsBefore("after delete")
	})
}

func TestWhatTheContainerDoesItselfIsNotForeignAlsoOnceItHasEnded(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		r.Detach("web", r.Bundle("web", rig.Class("batch")))
		used := r.Number(rig.Cgroup("cpuacct", rig.CgroupParent+"/web", "cpuacct.usage"))
		between(r, func() {
			r.OCI(append([]string{"exec", "web"}, spin("2")...)...) // its status says that timeout ended it
		})
		used = r.Number(rig.Cgroup("cpuacct", rig.CgroupParent+"/web", "cpuacct.usage")) - used
		if time.Duration(used) < 300*time.Millisecond {
			r.Errorf("nothing was tested: the container used %v", time.Duration(used))
		}
		r.End("web")
		r.AsBefore("after delete")
	})
}
