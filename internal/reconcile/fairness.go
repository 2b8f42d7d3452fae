package reconcile

import (
	"errors"
	"io/fs"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/power"
	"github.com/rtshield/rtshield/internal/host/rt"
	"github.com/rtshield/rtshield/internal/shield"
)

// Fairness reads what keeps time for ordinary threads on some CPUs. Where debugfs is not mounted, the fair servers of Linux 6.12
// are taken to be on, as the kernel starts them.
func Fairness(root host.Root, cpus cpuset.CPUSet) (shield.Fairness, error) {
	var fairness shield.Fairness
	runtime, period, err := rt.Throttle(root)
	if err != nil {
		return fairness, err
	}
	fairness.Throttle = shield.Budget{Runtime: runtime, Period: period}
	var starved []int
	for _, cpu := range cpus.List() {
		now, err := root.Read(power.FairServer(cpu))
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return fairness, err
		default:
			if fairness.Servers = true; now == "0" {
				starved = append(starved, cpu)
			}
		}
	}
	fairness.Servers = fairness.Servers || errors.Is(power.NoFairServer(root), power.ErrNoDebugfs) && root.AtLeast(6, 12)
	fairness.Starved = cpuset.New(starved...)
	return fairness, nil
}
