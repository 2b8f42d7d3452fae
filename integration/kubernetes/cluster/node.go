package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/integration/containerd"
	"github.com/rtshield/rtshield/integration/testhost"
)

// Name is the one node's.
const Name = "127.0.0.1"

// dirName begins the name of every cluster's directory and cgroup.
const dirName = "k8stest"

// Handlers are links to rtshield, with the names of deploy's RuntimeClasses.
var Handlers = []string{"rtshield", "rtshield-fifo", "rtshield-rr"}

// Cluster is a control plane and its one node: a containerd whose handlers are rtshield and runc, and a kubelet whose CPU
// manager is static. One CPU, the last, is for pods that have it alone.
type Cluster struct {
	*ControlPlane
	*containerd.Daemon
	// Shielded is that CPU, Others are the rest.
	Shielded, Others string
	// Policy is the policy file of rtshield.
	Policy  testhost.PolicyFile
	kubelet *process
	port    string // the kubelet's
}

// Start starts one, and waits until its node is ready. Stop it, also after an error.
func Start() (*Cluster, error) {
	if err := ClearLeft(); err != nil {
		return nil, err
	}
	place, err := testhost.NewPlace(dirName)
	if err != nil {
		return nil, err
	}
	c := &Cluster{ControlPlane: &ControlPlane{}}
	if c.Daemon, err = containerd.New(place); err != nil {
		return c, err
	}
	for _, step := range []func() error{c.splitCPUs, c.equipContainerd, c.makeCgroup, c.StartContainerd} {
		if err := step(); err != nil {
			return c, err
		}
	}
	if c.ControlPlane, err = StartControlPlane(place.Dir); err != nil {
		return c, err
	}
	if err := c.ApplyDeploy(); err != nil {
		return c, err
	}
	if err := errors.Join(c.authority.server("kubelet"), c.authority.user("node", "system:node:"+Name, "system:nodes"), c.writeKubeconfig("node")); err != nil {
		return c, err
	}
	if err := noteTunables(c.Path(noted)); err != nil {
		return c, err
	}
	return c, c.StartKubelet()
}

// noted is the file with what the kubelet changes in the kernel.
const noted = "tunables.json"

// ClearLeft waits until no other suite uses this host, and takes away what a run left that was cut.
func ClearLeft() error {
	if err := testhost.Alone(); err != nil {
		return err
	}
	var problems []error
	for _, place := range testhost.Left(dirName) {
		fmt.Fprintln(os.Stderr, "a run before this one was cut:", place.Dir)
		reconcile := exec.Command("true")
		if _, err := os.Stat(place.Path("config.toml")); err == nil { // it came as far as that
			reconcile = admin(place.Dir, "reconcile")
		}
		problems = append(problems, restoreTunables(place.Path(noted)), place.Clear(reconcile))
	}
	return errors.Join(problems...)
}

// admin is one of rtshield's own commands, on the policy file of a cluster.
func admin(dir string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(dir, "bin/rtshield"), args...)
	cmd.Env = append(os.Environ(), testhost.PolicyFile{Path: filepath.Join(dir, "config.toml")}.Env())
	return cmd
}

// Admin is one of rtshield's own commands, on the cluster's policy file.
func (c *Cluster) Admin(args ...string) *exec.Cmd { return admin(c.Dir, args...) }

func (c *Cluster) splitCPUs() error {
	text, err := os.ReadFile("/sys/devices/system/cpu/online")
	if err != nil {
		return err
	}
	online, err := cpuset.Parse(strings.TrimSpace(string(text)))
	if err != nil {
		return err
	}
	if online.Size() < 2 {
		return fmt.Errorf("this host has CPU %s only: a node needs one to shield and one to live on", online)
	}
	last := cpuset.New(online.List()[online.Size()-1])
	c.Shielded, c.Others = last.String(), online.Difference(last).String()
	return nil
}

// writePolicy writes the policy. Every invocation of rtshield reads it anew.
func (c *Cluster) writePolicy() (err error) {
	c.Policy, err = testhost.WritePolicy(testhost.Options{
		Dir: c.Dir, Classes: testhost.Aside,
		Layout: fmt.Sprintf("shield = %q\nkubelet = %q", c.Shielded, c.Path("kubelet")),
	})
	return err
}

// makeCgroup makes the kubelet's cgroupRoot, which has to be there in every hierarchy.
func (c *Cluster) makeCgroup() error {
	tops, err := filepath.Glob("/sys/fs/cgroup/*/cgroup.procs")
	if err != nil || len(tops) == 0 {
		return errors.Join(err, os.Mkdir("/sys/fs/cgroup"+c.Cgroup, 0o755))
	}
	for _, top := range tops {
		if err := os.Mkdir(filepath.Dir(top)+c.Cgroup, 0o755); err != nil {
			return err
		}
	}
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} { // empty in a new one (v1)
		all, err := os.ReadFile("/sys/fs/cgroup/cpuset/" + file)
		if err != nil {
			continue
		}
		if err := os.WriteFile("/sys/fs/cgroup/cpuset"+c.Cgroup+"/"+file, all, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// network is a CNI plugin: a pod has loopback, and an address that nobody else can reach.
const network = `#!/bin/sh
case $CNI_COMMAND in
VERSION) echo '{"cniVersion": "1.0.0", "supportedVersions": ["0.4.0", "1.0.0"]}' ;;
ADD) echo '{"cniVersion": "1.0.0", "interfaces": [{"name": "eth0", "sandbox": "'$CNI_NETNS'"}], "ips": [{"interface": 0, "address": "127.0.0.2/8"}]}' ;;
esac
`

func (c *Cluster) equipContainerd() error {
	runc, err := testhost.FindRunc()
	if err != nil {
		return err
	}
	rtshield, err := testhost.FindRtshield()
	if err != nil {
		return err
	}
	handlers := map[string]string{"runc": runc}
	problems := []error{os.Mkdir(c.Path("bin"), 0o755), os.Mkdir(c.Path("cni"), 0o755)}
	for _, name := range Handlers {
		handlers[name] = c.Path("bin/" + name)
		problems = append(problems, os.Symlink(rtshield, handlers[name]))
	}
	problems = append(problems, c.writePolicy())
	c.Env = []string{c.Policy.Env()}
	return errors.Join(append(problems, c.Configure(handlers),
		os.WriteFile(c.Path("cni/nowhere"), []byte(network), 0o755),
		os.WriteFile(c.Path("cni/10-nowhere.conflist"), []byte(`{"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "nowhere"}]}`), 0o644))...)
}

// scripts are programs in the image beside testhost.Rest, applets busybox's names in it.
var (
	scripts = map[string]string{
		// Spins for at most a minute of CPU time, whatever becomes of the test.
		"/bin/rt-spin": fmt.Sprintf("#!/bin/sh\nulimit -t %d\nwhile :; do :; done\n", 60*testhost.Slower()),
		// Notes what a probe is.
		"/bin/rt-probe": "#!/bin/sh\n(" + testhost.TellSelf + ") >/probe.new && mv /probe.new /probe\n",
		// Says of itself what a runtime could have made different.
		"/bin/rt-look": `#!/bin/sh
exec 2>&1
id -u; grep -c 4294967295 /proc/$$/uid_map; [ $$ = 1 ]; echo "first: $?"
grep -E '^(Cap|NoNewPrivs|Seccomp:|Cpus_allowed_list)' /proc/$$/status; cut -d' ' -f40,41 /proc/$$/stat; cat /proc/$$/oom_score_adj
cat /proc/$$/limits; env | cut -d= -f1 | sort; ls -l /proc/$$/ns | grep -c '>'; ls /dev | sort
cut -d' ' -f2-4 /proc/$$/mounts | cut -d, -f1 | sort; ls /sys/fs/cgroup; grep -c . /proc/net/dev
`,
	}
	applets = []string{"sh", "cat", "cut", "echo", "env", "grep", "id", "ls", "mv", "sleep", "sort", "true"}
)

// StartContainerd starts it, also after a Kill9, and waits until it has the image.
func (c *Cluster) StartContainerd() error {
	if err := c.Daemon.Start(); err != nil {
		return err
	}
	return testhost.Poll(30*time.Second, func() error { return c.Import(scripts, applets...) })
}

// StartKubelet starts it, and waits until the node is ready and the kubelet serves.
func (c *Cluster) StartKubelet() error {
	if err := errors.Join(os.MkdirAll(c.Path("kubelet"), 0o755), os.MkdirAll(c.Path("plugins"), 0o755), c.configureKubelet()); err != nil {
		return err
	}
	var err error
	c.kubelet, err = start(c.Dir, "kubelet", c.Program("kubelet"), "--config="+c.Path("kubelet/config.yaml"), "--kubeconfig="+c.Path("node.kubeconfig"),
		"--root-dir="+c.Path("kubelet"), "--cert-dir="+c.Path("kubelet/pki"), "--hostname-override="+Name, "--node-labels=rtshield.io/ready=true")
	if err != nil {
		return err
	}
	return c.poll(time.Minute, func() error {
		if err := c.kubelet.runs(); err != nil {
			return err
		}
		answer, err := c.admin.Get("https://127.0.0.1:" + c.port + "/healthz")
		if err != nil {
			return err
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("the kubelet says %s", answer.Status)
		}
		return c.ready()
	})
}

// ready gives an error if the node is not, by what its kubelet told last.
func (c *Cluster) ready() error {
	status, answer, err := c.Call(http.MethodGet, "/api/v1/nodes/"+Name, "", nil)
	if err := c.ok(status, answer, err); err != nil {
		return err
	}
	var node struct {
		Status struct {
			Conditions []struct{ Type, Status, Message string }
		}
	}
	if err := json.Unmarshal(answer, &node); err != nil {
		return err
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == "Ready" && condition.Status == "True" {
			return nil
		}
	}
	return fmt.Errorf("the node is not ready: %+v", node.Status.Conditions)
}

func (c *Cluster) configureKubelet() error {
	if c.port == "" {
		ports, err := freePorts(1)
		if err != nil {
			return err
		}
		c.port = ports[0]
	}
	text := strings.NewReplacer("DIR", c.Dir, "CGROUP", c.Cgroup, "OTHERS", c.Others, "PORT", c.port).Replace(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: 127.0.0.1
port: PORT
healthzPort: 0
authentication: {anonymous: {enabled: false}, webhook: {enabled: false}, x509: {clientCAFile: DIR/ca.crt}}
authorization: {mode: AlwaysAllow}
tlsCertFile: DIR/kubelet.crt
tlsPrivateKeyFile: DIR/kubelet.key
containerRuntimeEndpoint: unix://DIR/sock
podLogsDir: DIR/podlogs
volumePluginDir: DIR/plugins
cgroupDriver: cgroupfs
cgroupRoot: CGROUP
failCgroupV1: false # this host may have nothing else
failSwapOn: false
oomScoreAdj: 0 # whoever may not lower it
cpuManagerPolicy: static
reservedSystemCPUs: "OTHERS"
enforceNodeAllocatable: [pods]
evictionHard: {memory.available: 50Mi}
imageGCHighThresholdPercent: 100
makeIPTablesUtilChains: false # it would write the host's
resolvConf: ""
`)
	return os.WriteFile(c.Path("kubelet/config.yaml"), []byte(text), 0o600)
}

// StopKubelet ends it, as for an upgrade. Pods run on.
func (c *Cluster) StopKubelet() error { return c.kubelet.stop(syscall.SIGTERM) }

// Stop ends all of it, and gives the host back what it changed, also after a test that went wrong.
func (c *Cluster) Stop() error {
	if c == nil {
		return nil
	}
	var problems []error
	if c.kubelet != nil {
		problems = append(problems, c.StopKubelet())
	}
	c.Daemon.Stop()
	return errors.Join(append(problems, c.ControlPlane.Stop(), restoreTunables(c.Path(noted)), c.Clear(c.Admin("reconcile")))...)
}

// LastWords are the ends of the node's logs.
func (c *Cluster) LastWords() string {
	words := "containerd:\n" + c.Daemon.LastWords()
	if c.kubelet != nil {
		words += "\nkubelet:\n" + c.kubelet.lastWords()
	}
	return words
}
