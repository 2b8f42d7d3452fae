package latency

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/rt"
)

type object = map[string]any

// systemTrees hold programs and what these need: all that a container sees of the host's root, read-only.
var systemTrees = []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/nix", "/gnu"}

// makeRoot makes dir the root of all containers: empty mount points, and the host's links, such as /bin to usr/bin. It
// gives the mounts that fill it.
//
// The host's / itself cannot be one: runc could not pivot into it.
func makeRoot(dir, program string) ([]object, error) {
	trees := systemTrees
	if top := "/" + strings.Split(program, "/")[1]; top != program {
		trees = append([]string{top}, trees...)
	}
	var mounts []object
	made := map[string]bool{}
	for _, tree := range trees {
		info, err := os.Lstat(tree)
		if os.IsNotExist(err) || made[tree] {
			continue
		}
		made[tree] = true
		inside := filepath.Join(dir, tree)
		switch {
		case err != nil:
		case info.Mode().Type() == os.ModeSymlink:
			var target string
			if target, err = os.Readlink(tree); err == nil {
				err = os.Symlink(target, inside)
			}
		case info.IsDir():
			mounts = append(mounts, object{"destination": tree, "type": "bind", "source": tree, "options": []string{"rbind", "ro"}})
			err = os.MkdirAll(inside, 0o755)
		}
		if err != nil {
			return nil, err
		}
	}
	for _, point := range []string{"proc", "dev", "sys", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, point), 0o755); err != nil {
			return nil, err
		}
	}
	return append(mounts,
		object{"destination": "/proc", "type": "proc", "source": "proc"},
		object{"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": []string{"nosuid", "mode=755", "size=64k"}},
		object{"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": []string{"nosuid", "noexec", "nodev", "ro"}},
	), nil
}

// unpinned answers cyclictest, which pins its thread to one CPU whatever it is told (2.4, with libnuma), that this was done:
// where a container's threads may run is for its runtime to say.
var unpinned = object{
	"defaultAction": "SCMP_ACT_ALLOW",
	"syscalls":      []object{{"names": []string{"sched_setaffinity"}, "action": "SCMP_ACT_ERRNO", "errnoRet": 0}},
}

// bundle is what differs between the containers.
type bundle struct {
	dir         string
	args        []string
	cpus        string // linux.resources.cpu.cpus; empty for all
	cgroup      string
	annotations map[string]string
	// plain: of a container under SCHED_OTHER, cyclictest 2.4 wants to know at its start that it could run under FIFO, too.
	plain bool
}

// write makes the bundle. The containers share the host's network: making and removing one each time is work for the
// kernel that would be measured.
func (b bundle) write(rootfs string, mounts []object) error {
	capabilities := []string{"CAP_IPC_LOCK"} // cyclictest locks its memory
	cpu := object{}
	if b.cpus != "" {
		cpu["cpus"] = b.cpus
	}
	if b.plain {
		capabilities = append(capabilities, "CAP_SYS_NICE")
		if hasBudgets() {
			cpu["realtimeRuntime"] = 1000 // of a second
		}
	}
	resources := object{"devices": []object{{"allow": false, "access": "rwm"}}, "cpu": cpu}
	config := object{
		"ociVersion": "1.0.2",
		"process": object{
			"user": object{"uid": 0, "gid": 0},
			"cwd":  "/", "args": b.args, "env": []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"},
			"capabilities":    object{"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
			"noNewPrivileges": true,
		},
		"root":        object{"path": rootfs, "readonly": true},
		"mounts":      mounts,
		"annotations": b.annotations,
		"linux": object{
			"cgroupsPath": b.cgroup,
			"resources":   resources,
			"seccomp":     unpinned,
			"namespaces":  []object{{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}},
		},
	}
	text, err := json.MarshalIndent(config, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(b.dir, "config.json"), text, 0o644); err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	return nil
}

// hasBudgets says whether a cgroup needs a budget for FIFO (CONFIG_RT_GROUP_SCHED, cgroup v1).
func hasBudgets() bool {
	place, found, err := host.System.Controller(os.Getpid(), "cpu")
	if err != nil || !found {
		return false
	}
	_, _, err = rt.Budget(host.System, place.Dir)
	return err == nil
}
