package rt

import (
	"os"
	"testing"

	"github.com/rtshield/rtshield/internal/host"
)

func TestTheHostsBoundOnRealTimeThreadsIsRead(t *testing.T) {
	root := host.Root(t.TempDir())
	if _, _, err := Throttle(root); !host.Gone(err) {
		t.Errorf("a kernel without: %v", err)
	}
	if err := os.MkdirAll(root.Path("proc/sys/kernel"), 0o755); err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{"sched_rt_runtime_us": "-1\n", "sched_rt_period_us": "1000000\n"} {
		if err := os.WriteFile(root.Path("proc/sys/kernel", file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if runtime, period, err := Throttle(root); runtime != -1 || period != 1000000 || err != nil {
		t.Errorf("%d of %d, %v", runtime, period, err)
	}
}
