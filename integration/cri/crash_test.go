package cri_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/rtshield/rtshield/integration/testhost"
)

// ofParent gives the process above another.
func ofParent(t *testing.T, pid int) int {
	t.Helper()
	for line := range strings.Lines(testhost.Read(t, fmt.Sprintf("/proc/%d/status", pid))) {
		if text, found := strings.CutPrefix(line, "PPid:"); found {
			above, err := strconv.Atoi(strings.TrimSpace(text))
			if err != nil {
				t.Fatal(err)
			}
			return above
		}
	}
	t.Fatal("no PPid")
	return 0
}

func TestAContainerKeepsItsShieldWhileContainerdIsGone(t *testing.T) {
	each(t, func(t *testing.T) {
		p := runPod(t, "rtshield", asking)
		c := p.start(static(shielded()), loop)
		before, pause := c.pid(), p.pause()
		engine.Kill9()
		scheduled(t, "without containerd", before, fifo())
		if list := grants(t); len(list) != 1 || list[0].PID != before || list[0].State != "bound" {
			t.Errorf("without containerd the grants are %+v", list)
		}
		if err := engine.launch(); err != nil { // also what an upgrade does
			t.Fatalf("%v\n%s", err, engine.LastWords())
		}
		if c.pid() != before || p.pause() != pause {
			t.Errorf("the container was pid %d, is %d; pause was %d, is %d", before, c.pid(), pause, p.pause())
		}
		p.holds("after its return", c)
		if err := c.update(static(shielded())); err != nil { // the kubelet says all of it again
			t.Error(err)
		}
		if _, _, err := c.probe(probeBound, "true"); err != nil {
			t.Error(err)
		}
		p.holds("after the next update", c)
		c.stop()
		nothing(t, "after its end")
	})
}

func TestAKilledShimTakesItsPodAlongAndLeavesNothing(t *testing.T) {
	on(t, containerdName, func(t *testing.T) {
		p := runPod(t, "rtshield", asking)
		c := p.start(static(shielded()), loop)
		pid, pause := c.pid(), p.pause()
		shim := ofParent(t, pid)
		if name := testhost.Read(t, fmt.Sprintf("/proc/%d/comm", shim)); !strings.HasPrefix(name, "containerd-shim") {
			t.Fatalf("above the container is %q, no shim", name)
		}
		testhost.Kill9(t, shim) // of the whole pod
		testhost.Ended(t, patience, pid)
		testhost.Ended(t, patience, pause)
		released(t)
		// The kubelet makes the pod anew.
		next := runPod(t, "rtshield", asking)
		next.holds("its successor", next.start(static(shielded()), loop))
	})
}

func TestAContainerOutlivesItsConmonAndIsReleased(t *testing.T) {
	on(t, crioName, func(t *testing.T) {
		p := runPod(t, "rtshield", asking)
		c := p.start(static(shielded()), loop)
		monitor := ofParent(t, c.pid())
		if name := testhost.Read(t, fmt.Sprintf("/proc/%d/comm", monitor)); name != "conmon" {
			t.Fatalf("above the container is %q", name)
		}
		testhost.Kill9(t, monitor)
		p.holds("without its conmon", c)
		if _, _, err := c.probe(probeBound, "true"); err != nil {
			t.Error(err)
		}
		p.holds("after a probe", c)
		c.stop()
		nothing(t, "after its end")
	})
}

func TestAContainerThatIsKilledForItsMemoryIsReleased(t *testing.T) {
	each(t, func(t *testing.T) {
		p := runPod(t, "rtshield", asking)
		resources := static(shielded())
		resources.MemoryLimitInBytes, resources.MemorySwapLimitInBytes = 16<<20, 16<<20 // CRI-O asks for at least 12 MiB
		c := p.start(resources, "sh", "-c", "sleep 0.5; exec tail /dev/zero")
		p.holds("before", c)
		if status := c.ended(); status.ExitCode != 137 {
			t.Errorf("it ended with %d (%s)", status.ExitCode, status.Reason)
		}
		nothing(t, "after its end")
		next := p.start(static(shielded()), loop)
		p.holds("its successor", next)
	})
}
