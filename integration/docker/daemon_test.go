package docker_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/integration/testhost"
)

// daemon is a dockerd with everything in one directory, and containers in a cgroup that nobody else has.
type daemon struct {
	*testhost.Place
	rtshield string // the link in dir, which the daemon knows
	policy   testhost.PolicyFile
	online   cpuset.CPUSet
	cmd      *exec.Cmd
	log      *os.File
	exited   chan error
	// liveRestore: containers outlive the daemon.
	liveRestore bool
}

func (d *daemon) path(name string) string { return d.Path(name) }
func (d *daemon) socket() string          { return "unix://" + d.path("docker.sock") }

func startDaemon() (*daemon, error) {
	place, err := testhost.NewPlace("dockertest")
	if err != nil {
		return nil, err
	}
	d := &daemon{Place: place}
	if err := d.equip(); err != nil {
		return d, err
	}
	if d.log, err = os.Create(d.path("log")); err != nil {
		return d, err
	}
	return d, d.launch()
}

// launch starts dockerd, and waits until it answers.
func (d *daemon) launch() error {
	d.cmd = exec.Command("dockerd", "--bridge=none", "--iptables=false", "--ip6tables=false", "-H", d.socket(),
		"--data-root", d.path("data"), "--exec-root", d.path("exec"), "-p", d.path("docker.pid"),
		"--config-file", d.path("daemon.json"))
	d.cmd.Env = append(os.Environ(), d.policy.Env())
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	// Ctrl-C is for us. And where we end without having stopped it, in a panic, it stops itself, with its containers;
	// "we" is for the kernel the thread that forks, so TestMain keeps to the first, which lives as long as the process.
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := d.cmd.Start(); err != nil {
		return fmt.Errorf("%w: install docker.io (make setup)", err)
	}
	cmd, exited := d.cmd, make(chan error, 1)
	d.exited = exited
	go func() { exited <- cmd.Wait() }()
	return testhost.Poll(30*time.Second, func() error {
		_, err := d.cli("version", "--format", "{{.Server.Version}}").succeeded()
		return err
	})
}

// equip writes what the daemon finds: policy, links, daemon.json.
func (d *daemon) equip() error {
	online, err := os.ReadFile("/sys/devices/system/cpu/online")
	if err != nil {
		return err
	}
	if d.online, err = cpuset.Parse(strings.TrimSpace(string(online))); err != nil {
		return err
	}
	if d.online.Size() < 2 {
		return fmt.Errorf("this host has CPU %s only: these tests need one to shield and one to live on", d.online)
	}
	if err := d.writePolicy(); err != nil {
		return err
	}
	binary, err := testhost.FindRtshield()
	if err != nil {
		return err
	}
	d.rtshield = d.path("bin/rtshield")
	if err := os.Mkdir(d.path("bin"), 0o755); err != nil {
		return err
	}
	for _, name := range runtimes {
		if err := os.Symlink(binary, d.path("bin/"+name)); err != nil {
			return err
		}
	}
	return d.configure("runc")
}

// runtimes are the names by which the daemon calls rtshield.
var runtimes = []string{"rtshield", "rtshield-fifo", "rtshield-rr", "rtshield-aside"}

// writePolicy writes the policy that all tests start with.
func (d *daemon) writePolicy(delegates ...string) (err error) {
	options := testhost.Options{Dir: d.Dir, Delegates: delegates, Classes: testhost.Aside}
	// One CPU in the shield, as on the smallest host: that a second container is refused shows on every machine then.
	if d.online.Size() > 2 {
		options.Layout = fmt.Sprintf("shield = %q", shieldedCPU())
	}
	d.policy, err = testhost.WritePolicy(options)
	return err
}

func (d *daemon) configure(defaultRuntime string) error {
	paths := map[string]map[string]string{}
	for _, name := range runtimes {
		paths[name] = map[string]string{"path": d.path("bin/" + name)}
	}
	text, err := json.Marshal(map[string]any{
		"runtimes": paths, "default-runtime": defaultRuntime, "cgroup-parent": d.Cgroup, "live-restore": d.liveRestore,
	})
	if err != nil {
		return err
	}
	return os.WriteFile(d.path("daemon.json"), text, 0o644)
}

// lastWords are the end of the daemon's log.
func (d *daemon) lastWords() string {
	if d == nil {
		return ""
	}
	text, _ := os.ReadFile(d.path("log"))
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}
