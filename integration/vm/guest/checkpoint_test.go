//go:build vmguest

package guest_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A checkpoint ends the container, and gives its CPUs back; restore asks for them again.
func TestACheckpointGivesTheCPUsBackAndRestoreAsksAgain(t *testing.T) {
	onRunc(t, func(r *rig) {
		if out, err := exec.Command("criu", "check").CombinedOutput(); err != nil {
			r.Skipf("CRIU cannot work here: %s", strings.Join(strings.Fields(string(out)), " "))
		}
		// CRIU takes no file along that is not the container's.
		pid := r.begin("run", "a", class("fifo"), args("/bin/sh", "-c", "exec /bin/sleep 600 </dev/null >/dev/null 2>&1"))
		r.runs(pid, "sleep")
		r.policy("before the checkpoint", pid, unix.SCHED_FIFO, 50)
		former := r.grant("a").CPUs
		images := r.dir + "/images"
		r.must(r.oci("checkpoint", "--image-path", images, "--work-path", r.dir, "a"))
		<-r.gone["a"]
		r.asBefore("after the checkpoint")
		// Somebody else takes the CPU meanwhile.
		r.runs(r.begin("run", "b", class("fifo"), cpus(former.String())), "sleep")
		pid, said := r.try("restore", "a", r.dir+"/bundle-a", "--detach", "--image-path", images, "--work-path", r.dir)
		if said.code != 0 {
			log, _ := os.ReadFile(r.dir + "/restore.log")
			r.Fatalf("%s\n%s", said, log)
		}
		r.runs(pid, "sleep")
		grant := r.grant("a")
		if grant.State != "bound" || grant.CPUs.Intersection(former.CPUSet).Size() > 0 {
			r.Errorf("restored, it is %s on CPU %s, and CPU %s is b's", grant.State, grant.CPUs, former)
		}
		r.policy("after restore", pid, unix.SCHED_FIFO, 50)
		if now := r.allowed(pid); now != grant.CPUs.String() {
			r.Errorf("restored, it runs on CPU %s, and was granted %s", now, grant.CPUs)
		}
		r.end("a")
		r.end("b")
		r.asBefore("after delete")
	})
}
