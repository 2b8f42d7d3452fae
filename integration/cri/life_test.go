package cri_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/rtshield/rtshield/integration/testhost"
)

// asking are the pod's annotations. They reach its pause container too.
var asking = map[string]string{"rtshield.io/class": "fifo"}

// refused fails unless an update was refused by rtshield, with all of the words. containerd passes on what the runtime said
// on stderr.
func refused(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("the update was not refused; want %q", words)
	}
	for _, word := range append(words, "rtshield: ") {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the refusal does not say %q: %v", word, err)
		}
	}
}

func TestAPodWithAStaticCPULivesUnderTheKubelet(t *testing.T) {
	each(t, func(t *testing.T) {
		p := runPod(t, "rtshield", asking)
		p.pauses("before its container", ordinary())
		nothing(t, "the pause container alone")
		c := p.start(static(shielded()), loop)
		p.holds("after the start", c)
		if quota := p.cgroupFile(c, "cpu", "cpu.cfs_quota_us"); quota != "-1" {
			t.Errorf("its quota is %s", quota)
		}
		// What the kubelet sends after its restart, every ten seconds where it fails, and when memory is resized.
		for i := range 3 {
			resources := static(shielded())
			resources.MemoryLimitInBytes = int64(96+i) << 20
			if err := c.update(resources); err != nil {
				t.Fatal(err)
			}
			p.holds("after an update with its own CPU", c)
			if limit := p.cgroupFile(c, "memory", "memory.limit_in_bytes"); limit != fmt.Sprint(resources.MemoryLimitInBytes) {
				t.Errorf("its memory limit is %s, want %d", limit, resources.MemoryLimitInBytes)
			}
		}
		if err := c.update(&cri.LinuxContainerResources{MemoryLimitInBytes: 80 << 20}); err != nil {
			t.Error(err)
		}
		p.holds("after an update of memory alone", c)
		for range 3 {
			refused(t, c.update(static(engine.online.String())), "asks for CPU "+engine.online.String(), "it holds CPU "+shielded(), "class fifo")
			p.holds("after an update with other CPUs", c)
			if err := c.update(static(shielded())); err != nil {
				t.Error(err)
			}
			p.holds("after an update with its own CPU again", c)
		}
		quota := static(shielded())
		quota.CpuQuota = 50000
		refused(t, c.update(quota), "quota of 50000", "leave the quota out")
		p.holds("after an update with a quota", c)
		c.stop()
		nothing(t, "after its end")
		p.pauses("after it", ordinary())
		p.remove()
	})
}

func TestWhereTheEngineChoosesTheCPUsItsChoiceIsHeldToTheShield(t *testing.T) {
	each(t, func(t *testing.T) {
		t.Cleanup(func() {
			if err := engine.writePolicy("rtshield"); err != nil {
				t.Error(err)
			}
		})
		if err := engine.writePolicy("engine"); err != nil {
			t.Fatal(err)
		}
		p := runPod(t, "rtshield", asking)
		c := p.start(static(shielded()), loop)
		for range 3 {
			if err := c.update(static(shielded())); err != nil {
				t.Fatal(err)
			}
			p.holds("after an update with the same CPU", c)
			refused(t, c.update(static(others(t))), "asks for CPU "+others(t), "not in the shield ("+shielded()+")")
			p.holds("after an update with CPUs outside of the shield", c)
		}
		p.remove() // with a container that runs
		nothing(t, "after the pod's end")
	})
}

func TestAContainerCrashesAndItsSuccessorHasTheSameCPU(t *testing.T) {
	each(t, func(t *testing.T) {
		p := runPod(t, "rtshield", asking)
		first := p.start(static(shielded()), "sh", "-c", "exit 3")
		if status := first.ended(); status.ExitCode != 3 {
			t.Errorf("it ended with %d", status.ExitCode)
		}
		nothing(t, "after its exit")
		second := p.start(static(shielded()), loop) // the kubelet removes the first one later
		p.holds("its successor", second)
		if _, err := call(engine.cri.RemoveContainer, &cri.RemoveContainerRequest{ContainerId: first.id}); err != nil {
			t.Error(err)
		}
		p.holds("after the removal of the first", second)
	})
}

func TestTheHandlersNameGivesTheClassToContainersAlone(t *testing.T) {
	each(t, func(t *testing.T) {
		p := runPod(t, "rtshield-fifo", nil)
		p.pauses("before its container", ordinary())
		c := p.start(&cri.LinuxContainerResources{CpuShares: 2}, loop) // no CPU manager: rtshield chooses
		p.holds("after the start", c)
		if err := c.update(&cri.LinuxContainerResources{CpuShares: 2, MemoryLimitInBytes: 64 << 20}); err != nil {
			t.Error(err)
		}
		p.holds("after an update without CPUs", c)
	})
}

// CRI-O makes a process for such a pod alone, and the containers see each other.
func TestThePauseContainerOfASharedPIDNamespaceStaysOrdinary(t *testing.T) {
	each(t, func(t *testing.T) {
		config := sandbox(asking, t.TempDir())
		config.Linux.SecurityContext.NamespaceOptions.Pid = cri.NamespaceMode_POD
		p := runPodOf(t, "rtshield", config)
		p.pauses("before its container", ordinary())
		c := p.start(static(shielded()), loop)
		p.holds("after the start", c)
		c.stop()
		p.pauses("after it", ordinary())
	})
}

func TestAnOrdinaryPodMakesRoomAndItsUpdatesReachNoGrantedCPU(t *testing.T) {
	each(t, func(t *testing.T) {
		shared := &cri.LinuxContainerResources{CpuShares: 2, CpusetCpus: engine.online.String()}
		beside := runPod(t, "rtshield", nil)
		c := beside.start(shared, loop)
		scheduled(t, "alone", c.pid(), ordinary())
		p := runPod(t, "rtshield", asking)
		held := p.start(static(shielded()), loop)
		scheduled(t, "beside a shield", c.pid(), "OTHER 0 on "+others(t))
		beside.pauses("beside a shield", "OTHER 0 on "+others(t))
		// The kubelet's shared pool, before it takes the CPU out of it.
		if err := c.update(shared); err != nil {
			t.Error(err)
		}
		scheduled(t, "after an update with all CPUs", c.pid(), "OTHER 0 on "+others(t))
		p.holds("after an update of the other pod", held)
		err := c.update(&cri.LinuxContainerResources{CpuShares: 2, CpusetCpus: shielded()})
		refused(t, err, "CPU "+shielded()+" is kept for others")
		p.remove()
		scheduled(t, "afterwards", c.pid(), ordinary())
	})
}

func TestASecondPodIsToldWhoHoldsTheCPU(t *testing.T) {
	each(t, func(t *testing.T) {
		first := runPod(t, "rtshield", asking)
		holder := first.start(static(shielded()), loop)
		second := runPod(t, "rtshield", asking)
		c, err := second.create(static(shielded()), loop)
		if err == nil {
			err = c.start()
		}
		if err == nil || !strings.Contains(err.Error(), "CPU "+shielded()+" is taken ("+shielded()+": app)") {
			t.Errorf("a second container on its CPU: %v", err)
		}
		first.holds("after the other was refused", holder)
	})
}

// probeBound is what docs/life.md promises of an exec into a container that spins at FIFO on its only CPU.
const probeBound = 10 * time.Second

func TestAProbeIsOrdinaryAndAnswersWhileTheContainerSpins(t *testing.T) {
	each(t, func(t *testing.T) {
		p := runPod(t, "rtshield", asking)
		rests := p.start(static(shielded()), loop)
		if out, took, err := rests.probe(probeBound, "sh", "-c", testhost.TellSelf); err != nil || testhost.Told(t, out) != "OTHER 0 on "+shielded() {
			t.Errorf("a probe runs %q, %v", out, err)
		} else {
			t.Logf("while it sleeps, a probe answers within %v", took)
		}
		rests.stop()
		// Bounded by its own CPU time, whatever becomes of the test.
		spins := p.start(static(shielded()), "sh", "-c", "ulimit -t 60; while :; do :; done")
		p.holds("spinning", spins)
		var times []time.Duration
		for range 4 {
			out, took, err := spins.probe(probeBound, "sh", "-c", testhost.TellSelf)
			if err != nil {
				t.Fatalf("after %v: %v", took, err)
			}
			if got := testhost.Told(t, out); got != "OTHER 0 on "+shielded() {
				t.Errorf("a probe runs %s", got)
			}
			times = append(times, took)
		}
		t.Logf("while it spins, probes answer within %v", slices.Max(times))
		p.holds("after the probes", spins)
	})
}

func TestAProbeOnHousekeepingAnswersASpinnerAtOnce(t *testing.T) {
	each(t, func(t *testing.T) {
		p := runPod(t, "rtshield", map[string]string{"rtshield.io/class": "aside"})
		c := p.start(static(shielded()), "sh", "-c", "ulimit -t 60; while :; do :; done")
		scheduled(t, "spinning", c.pid(), fifo())
		var times []time.Duration
		for range 4 {
			out, took, err := c.probe(probeBound, "sh", "-c", testhost.TellSelf)
			if err != nil {
				t.Fatalf("after %v: %v", took, err)
			}
			if got := testhost.Told(t, out); got != "OTHER 0 on "+others(t) {
				t.Errorf("a probe runs %s", got)
			}
			times = append(times, took)
			// As the kubelet does, which knows nothing of the CPUs of exec.
			if err := c.update(static(shielded())); err != nil {
				t.Fatal(err)
			}
			scheduled(t, "after an update with its own CPU", c.pid(), fifo())
		}
		t.Logf("while it spins, probes answer within %v", slices.Max(times))
	})
}
