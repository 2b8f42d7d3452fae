package docker_test

import (
	"strings"
	"sync"
	"testing"
	"time"
)

func TestASecondContainerIsToldWhoHoldsTheCPUAndTheFirstIsUnharmed(t *testing.T) {
	unchanged(t)
	first := start(t, "rtshield-fifo", img, loop)
	pid := first.pid(t)
	began := time.Now()
	second := docker(t, args("rtshield-fifo", "--rm", img, "true")...)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the refusal took %v", took)
	}
	refused(t, second, "0 of 1 in the shield", shieldedCPU()+": "+first.short())
	if now := first.pid(t); now != pid {
		t.Errorf("the first was pid %d, is %d", pid, now)
	}
	scheduled(t, first, fifo())
	if grant := theGrant(t); grant.ID != first.id || grant.PID != pid {
		t.Errorf("the grant is %+v", grant)
	}
	if movable, _ := reaching(t, shieldedCPU()); len(movable) > 0 {
		t.Errorf("irq %v may arrive on the first's CPU since", movable)
	}
	ok(t, "stop", first.id)
	if got := told(t, ok(t, args("rtshield-fifo", "--rm", img, "sh", "-c", tell)...)); got != fifo() {
		t.Errorf("after the first, the second runs %s, want %s", got, fifo())
	}
}

func TestOfSeveralStartedAtOnceOneWins(t *testing.T) {
	unchanged(t)
	results := make([]result, 4)
	var all sync.WaitGroup
	for i := range results {
		all.Go(func() { results[i] = engine.cli(args("rtshield-fifo", "-d", img, loop)...) })
	}
	all.Wait()
	var winners []container
	for _, r := range results {
		if r.err == nil && r.code == 0 {
			winners = append(winners, adopt(t, strings.TrimSpace(r.stdout)))
			continue
		}
		refused(t, r, "0 of 1 in the shield")
		adopt(t, strings.Fields(r.stdout + " none")[0]) // with -d docker keeps what did not start
	}
	if len(winners) != 1 {
		t.Fatalf("%d of %d started: %v", len(winners), len(results), results)
	}
	scheduled(t, winners[0], fifo())
	ok(t, "stop", winners[0].id)
}

func TestACreatedContainerTakesNothingUntilItStarts(t *testing.T) {
	unchanged(t)
	waiting := adopt(t, ok(t, "create", "--net=none", "--runtime=rtshield-fifo", img, loop))
	if list := grants(t); len(list) > 0 {
		t.Errorf("docker create alone holds CPUs: %+v", list)
	}
	first := start(t, "rtshield-fifo", img, loop)
	r := docker(t, "start", waiting.id)
	if r.code == 0 || !strings.Contains(r.stderr, first.short()) {
		t.Errorf("start while the CPU is taken: %v", r)
	}
	scheduled(t, first, fifo())
	ok(t, "stop", first.id)
	ok(t, "start", waiting.id)
	scheduled(t, waiting, fifo())
	ok(t, "stop", waiting.id)
}
