//go:build vmguest

package systemd_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// unitSettings is what systemd says of the CPUs of all its units, and the files in which it keeps it.
func unitSettings(t testing.TB) map[string]string {
	t.Helper()
	settings := map[string]string{}
	for block := range strings.SplitSeq(run(t, "systemctl", "show", "--property=Id,AllowedCPUs", "*.slice", "*.scope", "*.service"), "\n\n") {
		name, value, _ := strings.Cut(strings.TrimSpace(block), "\n")
		if strings.HasPrefix(name, "AllowedCPUs=") {
			name, value = value, name
		}
		settings[name] = value
	}
	for _, pattern := range []string{"/run/systemd/system.control/*/*", "/run/systemd/transient/*.d/50-AllowedCPUs.conf", "/etc/systemd/system.control/*/*", "/etc/systemd/system/*.slice.d/*"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			content, _ := os.ReadFile(file)
			settings[file] = string(content)
		}
	}
	return settings
}

// widenedBefore runs one shielded container first: kernels before 7.x do not let cpuset.cpus of a cgroup with processes
// become empty again (ENOSPC), so that those of the services are all CPUs from then on.
func widenedBefore(t *testing.T) {
	t.Helper()
	c := shielded(t)
	run(t, "docker", "stop", c.id)
	ended(t)
	if list := text(t, "/sys/fs/cgroup/init.scope/cpuset.cpus"); list != "" {
		t.Logf("limit: cpuset.cpus of services that was empty is %s after the first shielded container (ENOSPC)", list)
	}
}

// TestOtherSlicesStaySmallerThroughADaemonReload needs level cpuset to mean something: a partition's CPUs the kernel itself
// keeps from others, and systemd is told nothing.
func TestOtherSlicesStaySmallerThroughADaemonReload(t *testing.T) {
	widenedBefore(t)
	unchanged(t)
	// mine.slice has CPUs that the administrator gave it for good, runtime.slice some until the next boot.
	const admins = "/etc/systemd/system/mine.slice.d"
	if err := os.MkdirAll(admins, 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, admins+"/admin.conf", "[Slice]\nAllowedCPUs=0-5\n")
	run(t, "systemctl", "daemon-reload")
	t.Cleanup(func() {
		_ = os.RemoveAll(admins)
		_ = os.RemoveAll("/run/systemd/system.control/runtime.slice.d")
		run(t, "systemctl", "stop", "mine.slice", "runtime.slice", "plain.slice")
		run(t, "systemctl", "daemon-reload")
	})
	service(t, "mine.slice", "one")
	service(t, "runtime.slice", "two")
	service(t, "plain.slice", "three")
	run(t, "systemctl", "set-property", "--runtime", "runtime.slice", "AllowedCPUs=1-6")
	before := unitSettings(t)

	c := shielded(t)
	grant := c.grant(t)
	held := heldBy(grant)
	c.holds(t, "running")
	_, told := unitSettings(t)["/run/systemd/system.control/plain.slice.d/50-AllowedCPUs.conf"]
	if told != (grant.Level == "cpuset") {
		t.Errorf("level %s, and systemd was told: %v", grant.Level, told)
	}
	run(t, "systemctl", "daemon-reload")
	pids := map[string]int{}
	for _, slice := range []string{"mine.slice", "runtime.slice", "plain.slice", "user.slice"} {
		pids[slice] = service(t, slice, "late-"+strings.TrimSuffix(slice, ".slice"))
	}
	for slice, pid := range pids {
		if now := allowed(t, pid); !now.Intersection(held).IsEmpty() {
			t.Errorf("a service of %s, started after daemon-reload, runs on CPU %s; held is %s", slice, now, held)
		}
	}
	c.holdsOrIsRestored(t, "after daemon-reload and new services")
	for slice := range pids {
		run(t, "systemctl", "stop", "late-"+strings.TrimSuffix(slice, ".slice"))
	}
	run(t, "docker", "stop", c.id)
	ended(t)
	after := unitSettings(t)
	for name, was := range before {
		if now, there := after[name]; now != was && (there || !strings.HasPrefix(name, "Id=")) {
			t.Errorf("%s was %q, is %q", name, was, now)
		}
	}
	for name, now := range after {
		if _, there := before[name]; !there && now != "AllowedCPUs=" {
			t.Errorf("%s was not there, is %q", name, now)
		}
	}
}

func put(t testing.TB, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
