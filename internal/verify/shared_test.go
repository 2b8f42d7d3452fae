package verify

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/internal/status"
)

func TestASharedContainerIsHeldToItsBudgetAndToOthersCPUs(t *testing.T) {
	root := host.Root(t.TempDir())
	dir := "/sys/fs/cgroup/cpu/kubepods/app"
	if err := os.MkdirAll(root.Path(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(file, text string) {
		if err := os.WriteFile(root.Path(dir, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("cpu.rt_period_us", "1000000\n")
	want := shield.Budget{Runtime: 50000, Period: 1000000}
	for runtime, mark := range map[string]Mark{"50000": Holds, "0": Broken, "x": Unknown} {
		write("cpu.rt_runtime_us", runtime+"\n")
		if got := (Job{Root: root}).budget(dir, want); got.Mark != mark || got.Name != "budget" {
			t.Errorf("%s: %+v", runtime, got)
		}
	}
	for held, mark := range map[int]Mark{3: Holds, 1: Broken} {
		if got := apart(cpuset.New(0, 1), cpuset.New(held)); got.Mark != mark || got.Mark == Broken && !strings.Contains(got.What, "others have CPU 1 alone") {
			t.Errorf("beside CPU %d: %+v", held, got)
		}
	}
}

func TestASharedContainerThatHasEndedIsTold(t *testing.T) {
	root := host.Root(t.TempDir())
	ledger := &shield.Ledger{}
	ledger.AddOrdinary(shield.Ordinary{Key: shield.Key{Root: "/r", ID: "s"}, Name: "app", Bound: true, Owner: shield.Owner{PID: 77, Start: 1}, Cpuset: "/cg", Shared: &shield.Shared{Class: "among"}})
	if grants := sharedGrants(root, ledger); len(grants) > 0 {
		t.Errorf("%+v", grants)
	}
	got := (Job{Root: root}).shared(ledger, status.Shared{ID: "s", Root: "/r", Name: "app", Class: "among", PID: 77, State: "stale"})
	if !got.Shared || len(got.Promises) != 1 || got.Promises[0].Mark != Broken || !strings.Contains(got.Promises[0].What, strconv.Itoa(77)) {
		t.Errorf("%+v", got)
	}
}
