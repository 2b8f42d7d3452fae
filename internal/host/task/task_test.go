package task

import (
	"os"
	"testing"

	"github.com/rtshield/rtshield/internal/host"
)

func TestOfThisHost(t *testing.T) {
	cpus, err := Affinity(os.Getpid())
	if err != nil || cpus.IsEmpty() {
		t.Fatalf("%s %v", cpus, err)
	}
	allowed, err := host.System.AllowedCPUs(os.Getpid())
	if err != nil || !allowed.Equals(cpus) {
		t.Errorf("sched_getaffinity says %s, /proc %s %v", cpus, allowed, err)
	}
	stat, err := Read(host.System, 2)
	if err != nil || stat.Comm != "kthreadd" || stat.Bound {
		t.Errorf("%+v %v", stat, err)
	}
	start, err := host.System.StartTime(os.Getpid())
	if stat, err2 := Read(host.System, os.Getpid()); err != nil || err2 != nil || stat.Start != start {
		t.Errorf("%+v %v, want start %d %v", stat, err2, start, err)
	}
}
