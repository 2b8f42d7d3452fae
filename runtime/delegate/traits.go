package delegate

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Traits is what a delegate says of itself.
type Traits struct {
	// Name is the first word of its --version, such as runc or crun, Version the third, such as 1.5.2.
	Name    string `json:"name"`
	Version string `json:"version"`
}

// LatePoststart says whether poststart hooks run after the container's program has started, as the specification has
// it. runc before 1.6 runs them within create (opencontainers/runc#4347). Of a stranger we expect what is specified.
func (t Traits) LatePoststart() bool { return t.Name != "runc" || t.atLeast(1, 6) }

// MemoryPolicy says whether linux.memoryPolicy is carried out: by runc since 1.4, by crun since 1.24. Of a stranger it is
// not expected: who does not know it says nothing.
func (t Traits) MemoryPolicy() bool {
	return t.Name == "runc" && t.atLeast(1, 4) || t.Name == "crun" && t.atLeast(1, 24)
}

// ExecScheduler says whether process.scheduler is carried out for exec: by runc since 1.2.
func (t Traits) ExecScheduler() bool { return t.Name == "runc" && t.atLeast(1, 2) }

// ExecAffinity says whether process.execCPUAffinity is carried out for exec: by runc since 1.3, by crun since 1.19.
func (t Traits) ExecAffinity() bool {
	return t.Name == "runc" && t.atLeast(1, 3) || t.Name == "crun" && t.atLeast(1, 19)
}

// Burst says whether linux.resources.cpu.burst is carried out: by runc since 1.2, by crun since 1.11.
func (t Traits) Burst() bool {
	return t.Name == "runc" && t.atLeast(1, 2) || t.Name == "crun" && t.atLeast(1, 11)
}

func (t Traits) atLeast(major, minor int) bool {
	parts := strings.SplitN(t.Version, ".", 3)
	if len(parts) < 2 {
		return true
	}
	x, errX := strconv.Atoi(parts[0])
	y, errY := strconv.Atoi(parts[1])
	return errX != nil || errY != nil || x > major || x == major && y >= minor
}

// identity tells one build of a program from the next.
type identity struct {
	Path  string `json:"path"`
	Dev   uint64 `json:"dev"`
	Inode uint64 `json:"inode"`
	Size  int64  `json:"size"`
	Mtime int64  `json:"mtime"`
	Traits
}

// Identify asks a delegate for its version, once for each build of it: the answer is kept in cacheDir.
func Identify(path, cacheDir string) (Traits, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Traits{}, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return Traits{}, fmt.Errorf("%s: no inode", path)
	}
	now := identity{Path: path, Dev: stat.Dev, Inode: stat.Ino, Size: info.Size(), Mtime: info.ModTime().UnixNano()}
	name := fnv.New64a()
	_, _ = name.Write([]byte(path))
	cache := filepath.Join(cacheDir, fmt.Sprintf("delegate-%016x.json", name.Sum64()))
	var known identity
	if data, err := os.ReadFile(cache); err == nil && json.Unmarshal(data, &known) == nil {
		traits := known.Traits
		known.Traits = Traits{}
		if known == now {
			return traits, nil
		}
	}
	env, err := Environ()
	if err != nil {
		return Traits{}, err
	}
	cmd := exec.Command(path, "--version")
	cmd.Env = env
	output, err := cmd.Output()
	if err != nil {
		return Traits{}, fmt.Errorf("%s --version: %w", path, err)
	}
	if words := strings.Fields(string(output)); len(words) >= 3 && words[1] == "version" {
		now.Traits = Traits{Name: words[0], Version: words[2]}
	}
	return now.Traits, remember(cacheDir, cache, now)
}

func remember(dir, cache string, what identity) error {
	data, err := json.Marshal(what)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	temporary := cache + "." + strconv.Itoa(os.Getpid())
	if err := os.WriteFile(temporary, data, 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, cache)
}
