package kubernetes_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rtshield/rtshield/integration/kubernetes/cluster"
	"github.com/rtshield/rtshield/integration/testhost"
)

// patience is how long the kubelet may take for one thing.
const patience = 40 * time.Second

// look is a little more than how often the kubelet looks whether containers have the CPUs that they should have.
const look = 11 * time.Second

// Resources of a container. A pod beside one that has the node's CPU may request none: there is only one to give away.
const (
	whole      = `limits: {cpu: "1", memory: 64Mi}`
	fraction   = `requests: {cpu: "0", memory: 16Mi}, limits: {cpu: 500m, memory: 64Mi}`
	bestEffort = ""
)

// container is one of a pod's, as YAML. More is the rest of it, each with a comma in front.
func container(name, resources, more string, command ...string) string {
	argv, _ := json.Marshal(command)
	return fmt.Sprintf("{name: %s, image: %q, imagePullPolicy: Never, command: %s, resources: {%s}%s}", name, testhost.Image, argv, resources, more)
}

// wish is what a pod is asked for as.
type wish struct {
	class       string // "": runc's
	annotations map[string]string
	more        string // of its spec, each with a comma behind
	init        []string
	containers  []string
}

func (w wish) yaml(name string) string {
	annotations, _ := json.Marshal(w.annotations)
	return fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: %s, annotations: %s}, spec: {%s nodeName: %s, runtimeClassName: %s,
automountServiceAccountToken: false, enableServiceLinks: false, terminationGracePeriodSeconds: 5, initContainers: [%s], containers: [%s]}}`,
		name, annotations, w.more, cluster.Name, cmp.Or(w.class, "runc"), strings.Join(w.init, ", "), strings.Join(w.containers, ", "))
}

// pod is one that the API server knows.
type pod struct {
	testing.TB
	name, uid string
}

const pods = "/api/v1/namespaces/" + space + "/pods"

// run makes a pod. It is gone when the test is over.
func run(t testing.TB, name string, w wish) *pod {
	t.Helper()
	p := &pod{TB: t, name: name}
	answer, err := node.Make(pods, w.yaml(name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.remove)
	var made told
	if err := json.Unmarshal(answer, &made); err != nil {
		t.Fatal(err)
	}
	p.uid = made.Metadata.UID
	return p
}

// resting is run for a pod of one container that does nothing, and waits until it is ready.
func resting(t testing.TB, name, class, resources string) *pod {
	t.Helper()
	p := run(t, name, wish{class: class, containers: []string{container("app", resources, "", testhost.Rest)}})
	p.ready()
	return p
}

// told is what the API server tells of a pod.
type told struct {
	Metadata struct{ UID string }
	Status   struct {
		Phase, QOSClass                                                      string
		Conditions                                                           []struct{ Type, Status string }
		ContainerStatuses, InitContainerStatuses, EphemeralContainerStatuses []containerTold
	}
}

type containerTold struct {
	Name, ContainerID string
	RestartCount      int
	State             struct{ Running *struct{} }
}

// ask gives what the API server tells, nil if it knows no such pod.
func (p *pod) ask() (*told, error) {
	status, answer, err := node.Call(http.MethodGet, pods+"/"+p.name, "", nil)
	if err != nil || status == http.StatusNotFound {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("%d: %s", status, answer)
	}
	var t told
	return &t, json.Unmarshal(answer, &t)
}

// until waits for what the API server tells of the pod.
func (p *pod) until(what string, holds func(*told) bool) {
	p.Helper()
	if err := testhost.Poll(patience, func() error {
		now, err := p.ask()
		if err == nil && (now == nil || !holds(now)) {
			err = fmt.Errorf("pod %s: not %s", p.name, what)
		}
		return err
	}); err != nil {
		p.Fatalf("%v\n%s\n%s", err, p.describe(), node.LastWords())
	}
}

func (p *pod) ready() {
	p.Helper()
	p.until("ready", func(now *told) bool { return now.is("Ready") })
}

func (t *told) is(condition string) bool {
	for _, c := range t.Status.Conditions {
		if c.Type == condition {
			return c.Status == "True"
		}
	}
	return false
}

// id is that of the container of this name that runs now.
func (p *pod) id(name string) string {
	p.Helper()
	now, err := p.ask()
	if err != nil || now == nil {
		p.Fatalf("pod %s: %v, %v", p.name, now, err)
	}
	for _, c := range slices.Concat(now.Status.ContainerStatuses, now.Status.InitContainerStatuses, now.Status.EphemeralContainerStatuses) {
		if c.Name == name && c.State.Running != nil {
			return strings.TrimPrefix(c.ContainerID, "containerd://")
		}
	}
	p.Fatalf("pod %s has no container %s that runs: %+v", p.name, name, now.Status)
	return ""
}

// pid is that of a container's first process.
func (p *pod) pid(name string) int {
	p.Helper()
	return pidOf(p.TB, p.id(name))
}

func pidOf(t testing.TB, id string) int {
	t.Helper()
	pid, err := strconv.Atoi(testhost.Read(t, node.Path("state/io.containerd.runtime.v2.task/k8s.io/"+id+"/init.pid")))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// tops are the pod's own directories in one controller's hierarchy: one, or none when it is gone.
func (p *pod) tops(controller string) []string {
	return slices.Concat(glob(controller, "/kubepods/pod"+p.uid), glob(controller, "/kubepods/*/pod"+p.uid))
}

// cgroups are those of the pod's containers, its sandbox among them.
func (p *pod) cgroups(controller string) (dirs []string) {
	for _, top := range p.tops(controller) {
		files, _ := filepath.Glob(top + "/*/cgroup.procs")
		for _, file := range files {
			dirs = append(dirs, filepath.Dir(file))
		}
	}
	return dirs
}

// unified says whether this host has cgroup v2 alone.
func unified() bool {
	_, err := os.Stat("/sys/fs/cgroup/cgroup.controllers")
	return err == nil
}

// level is the most that this host can give to a container.
func level() string {
	if unified() {
		return "partition"
	}
	return "cpuset"
}

// glob finds directories below the cluster's cgroup, in one controller's hierarchy, or in the unified one.
func glob(controller, pattern string) []string {
	if unified() {
		controller = ""
	}
	found, _ := filepath.Glob(filepath.Join("/sys/fs/cgroup", controller, node.Cgroup, pattern))
	return found
}

// file is one of a container's cgroup.
func (p *pod) file(controller, id, name string) string {
	p.Helper()
	for _, dir := range p.cgroups(controller) {
		if filepath.Base(dir) == id {
			return testhost.Read(p.TB, filepath.Join(dir, name))
		}
	}
	p.Fatalf("container %s has no cgroup of %s", id, controller)
	return ""
}

// exec is kubectl exec into the container app.
func (p *pod) exec(command ...string) string {
	p.Helper()
	out, err := node.Kubectl(append([]string{"-n", space, "exec", p.name, "-c", "app", "--"}, command...)...)
	if err != nil {
		p.Errorf("%v\n%s", err, node.LastWords())
	}
	return out
}

func (p *pod) describe() string {
	out, err := node.Kubectl("-n", space, "describe", "pod", p.name)
	if err != nil {
		return err.Error()
	}
	return out
}

// remove deletes the pod, and waits until nothing of it is left. Twice is no error.
func (p *pod) remove() {
	p.Helper()
	status, answer, err := node.Call(http.MethodDelete, pods+"/"+p.name, "", nil)
	if err != nil || status != http.StatusOK && status != http.StatusNotFound && status != http.StatusAccepted {
		p.Errorf("%d: %s, %v", status, answer, err)
	}
	p.gone()
}

// gone waits until nothing of the pod is left.
func (p *pod) gone() {
	p.Helper()
	if err := testhost.Poll(patience, p.left); err != nil {
		p.Errorf("%v\n%s", err, node.LastWords())
	}
}

func (p *pod) left() error {
	if now, err := p.ask(); err != nil || now != nil && now.Metadata.UID == p.uid {
		return errors.Join(err, fmt.Errorf("pod %s is still there", p.name))
	}
	for _, controller := range []string{"cpu", "cpuset", "memory"} {
		if left := p.tops(controller); len(left) > 0 {
			return fmt.Errorf("pod %s is gone, %q is still there", p.name, left)
		}
	}
	return nil
}

// firstPods make the cgroups above all pods, and the files of containerd and kubelet: the tests compare with the host as it is
// from here on.
func firstPods() error {
	for _, resources := range []string{bestEffort, fraction} {
		p := &pod{name: "first"}
		answer, err := node.Make(pods, wish{containers: []string{container("app", resources, "", testhost.Rest)}}.yaml(p.name))
		if err != nil {
			return err
		}
		var made told
		if err := json.Unmarshal(answer, &made); err != nil {
			return err
		}
		p.uid = made.Metadata.UID
		if err := testhost.Poll(patience, func() error {
			now, err := p.ask()
			if err == nil && (now == nil || !now.is("Ready")) {
				err = fmt.Errorf("it is not ready")
			}
			return err
		}); err != nil {
			return fmt.Errorf("the first pod: %w\n%s", err, p.describe())
		}
		if _, err := node.Kubectl("-n", space, "delete", "pod", p.name); err != nil {
			return err
		}
		if err := testhost.Poll(patience, p.left); err != nil {
			return err
		}
	}
	return nil
}

// unchanged compares the host, and that nothing is left in the ledger, when the test is over.
func unchanged(t testing.TB) {
	t.Helper()
	testhost.HostUnchanged(t, node.Policy.Ledger())
}

func fifo() string { return "FIFO 50 on " + node.Shielded }
func everywhere(t testing.TB) string {
	t.Helper()
	return "OTHER 0 on " + testhost.Parse(t, node.Others).Union(testhost.Parse(t, node.Shielded)).String()
}

// scheduled fails unless a process runs as want.
func scheduled(t testing.TB, when string, pid int, want string) {
	t.Helper()
	if got := testhost.Schedule(t, pid); got != want {
		t.Errorf("%s: it runs %s, want %s", when, got, want)
	}
}

type grant struct {
	ID, Class, CPUs, State, Level string
	PID                           int
}

// grants asks `rtshield status --json`.
func grants(t testing.TB) []grant {
	t.Helper()
	out, err := node.Admin("status", "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var status struct{ Grants []grant }
	if err := json.Unmarshal(out, &status); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return status.Grants
}

// holds fails unless the container app alone has the node's CPU, from the kernel's side too.
func (p *pod) holds(when string) {
	p.Helper()
	id := p.id("app")
	pid := pidOf(p.TB, id)
	want := []grant{{ID: id, Class: "fifo", CPUs: node.Shielded, State: "bound", Level: level(), PID: pid}}
	if list := grants(p.TB); !slices.Equal(list, want) {
		p.Errorf("%s: the grants are %+v, want %+v", when, list, want)
	}
	scheduled(p.TB, when, pid, fifo())
	if cpus := p.file("cpuset", id, "cpuset.cpus"); cpus != node.Shielded {
		p.Errorf("%s: cpuset.cpus is %s", when, cpus)
	}
	for _, other := range reaching(p.TB, id) {
		p.Errorf("%s: %s", when, other)
	}
	if movable, _ := testhost.Reaching(p.TB, node.Shielded); len(movable) > 0 {
		p.Errorf("%s: irq %v may arrive on its CPU", when, movable)
	}
}

// reaching are the threads of all pods, but for one container's, that may run on the shielded CPU.
func reaching(t testing.TB, except string) (found []string) {
	t.Helper()
	for _, top := range glob("cpu", "/kubepods") {
		_ = filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.Name() != "cgroup.procs" || filepath.Base(filepath.Dir(path)) == except {
				return nil //nolint:nilerr // gone since it was listed
			}
			text, _ := os.ReadFile(path)
			for _, pid := range strings.Fields(string(text)) {
				threads, _ := filepath.Glob("/proc/" + pid + "/task/*/status")
				for _, thread := range threads {
					status, err := os.ReadFile(thread)
					if err == nil && !testhost.Parse(t, testhost.Allowed(string(status))).Intersection(testhost.Parse(t, node.Shielded)).IsEmpty() {
						found = append(found, fmt.Sprintf("%s, of %s, may run on CPU %s", thread, filepath.Dir(path), node.Shielded))
					}
				}
			}
			return nil
		})
	}
	return found
}

// keeps is holds for some time, in which the kubelet may do what it does later.
func (p *pod) keeps(when string, howLong time.Duration) {
	p.Helper()
	pid := p.pid("app")
	for end := time.Now().Add(howLong); time.Now().Before(end) && !p.Failed(); time.Sleep(100 * time.Millisecond) {
		if syscall.Kill(pid, 0) != nil {
			p.Fatalf("%s: pid %d is gone", when, pid)
		}
		scheduled(p.TB, when, pid, fifo())
	}
	p.holds(when)
}

// released waits until nobody holds a CPU.
func released(t testing.TB) {
	t.Helper()
	testhost.Eventually(t, patience, func() error {
		if list := grants(t); len(list) > 0 {
			return fmt.Errorf("still held: %+v", list)
		}
		return nil
	})
}
