//go:build vmguest

package guest_test

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// localPartitions: cgroup v2 with partitions that stand right below the root only (Linux before 6.7).
func localPartitions() bool {
	_, err := os.Stat(mount + parent + "/cpuset.cpus.partition")
	return unified() && err == nil && !partitions()
}

// atTheTop puts the container right below the root cgroup.
func atTheTop(id string) edit {
	return func(s *specs.Spec) { s.Linux.CgroupsPath = "/" + id }
}

func TestRightBelowTheRootAPartitionNeedsNoNewKernel(t *testing.T) {
	onRuncAndCrun(t, func(r *rig) {
		if !localPartitions() {
			r.Skip("elsewhere: for kernels before 6.7 with cgroup v2")
		}
		// One that names the CPU must leave it, or the kernel would not make the partition.
		r.begin("run", "named", atTheTop("named"), cpus("0-7"))
		pid := r.begin("run", "top", class("fifo"), atTheTop("top"), annotate("smt", "prefer"))
		grant := r.grant("top")
		if grant.Level != "partition" {
			r.Fatalf("level %s", grant.Level)
		}
		for file, want := range map[string]string{
			"/top/cpuset.cpus.partition": "isolated", "/top/cpuset.cpus.effective": grant.CPUs.String(),
			"/cpuset.cpus.effective": parse(r, "0-7").Difference(grant.CPUs.CPUSet).String(),
		} {
			if now := text(r, filepath.Join(mount, file)); now != want {
				r.Errorf("%s is %q, want %q", file, now, want)
			}
		}
		for _, thread := range strays(r, grant.CPUs.CPUSet) {
			if !thread.kernel && thread.id != strconv.Itoa(pid) {
				r.Errorf("thread %s (%s) may run on CPU %s", thread.id, thread.name, thread.cpus)
			}
		}
		r.end("top")
		if now := text(r, mount+"/named/cpuset.cpus.effective"); now != "0-7" {
			r.Errorf("afterwards the other container has CPU %s", now)
		}
		r.end("named")
		r.asBefore("after both")
	})
}
