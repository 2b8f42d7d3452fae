package systemd

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
)

// systemctl puts a script in its place.
func systemctl(t *testing.T, script string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "systemctl"), []byte("#!/bin/sh\necho \"$*\" >>"+dir+"/calls\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return dir
}

func TestAllowedCPUsOfActiveUnits(t *testing.T) {
	dir := systemctl(t, `printf 'Id=user.slice\nActiveState=active\nAllowedCPUs=0-3 5\n\nId=init.scope\nActiveState=active\nAllowedCPUs=\n\nId=pods.slice\nActiveState=inactive\nAllowedCPUs=1\n'`)
	allowed, err := AllowedCPUs([]string{"user.slice", "init.scope", "pods.slice"})
	if err != nil || len(allowed) != 2 || allowed["user.slice"].String() != "0-3,5" || !allowed["init.scope"].IsEmpty() {
		t.Errorf("%v, %v", allowed, err)
	}
	if allowed, err := AllowedCPUs(nil); err != nil || len(allowed) != 0 {
		t.Errorf("of no unit: %v, %v", allowed, err)
	}
	calls, _ := os.ReadFile(filepath.Join(dir, "calls"))
	if strings.Count(string(calls), "\n") != 1 {
		t.Errorf("systemctl was called with\n%s", calls)
	}
}

func TestWhatSystemdSaysAgainstItIsInTheError(t *testing.T) {
	systemctl(t, "echo 'Failed to set unit properties: Access denied' >&2; exit 1")
	err := AllowCPUs(host.Root(t.TempDir()), "user.slice", cpuset.New(0, 1), false)
	if err == nil || !strings.Contains(err.Error(), "AllowedCPUs=0-1: Failed to set unit properties: Access denied") {
		t.Errorf("%v", err)
	}
}

func TestASystemctlThatHangsIsGivenUp(t *testing.T) {
	patience = 200 * time.Millisecond
	defer func() { patience, silent = 5*time.Second, nil }()
	dir := systemctl(t, "sleep 5")
	begun := time.Now()
	for range 3 {
		if _, err := Control("show"); err == nil || !strings.Contains(err.Error(), "no answer within 200ms") {
			t.Errorf("%v", err)
		}
	}
	if calls, _ := os.ReadFile(filepath.Join(dir, "calls")); strings.Count(string(calls), "\n") != 1 {
		t.Errorf("it was called with\n%s", calls)
	}
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("that took %v", took)
	}
}

func TestTheDropInGoesWithWhatHeldNothingElse(t *testing.T) {
	for unit, dir := range map[string]string{"user.slice": controlDir, "init.scope": transientDir} {
		for _, other := range []string{"", "50-CPUWeight.conf"} {
			root := host.Root(t.TempDir())
			folder := root.Path(dir, unit+".d")
			if err := os.MkdirAll(folder, 0o755); err != nil {
				t.Fatal(err)
			}
			for _, file := range []string{"50-AllowedCPUs.conf", other} {
				if file != "" {
					if err := os.WriteFile(filepath.Join(folder, file), []byte(file), 0o644); err != nil {
						t.Fatal(err)
					}
				}
			}
			if text, found := DropIn(root, unit); !found || text != "50-AllowedCPUs.conf" {
				t.Errorf("%q, %v", text, found)
			}
			if err := errors.Join(RemoveDropIn(root, unit, true), RemoveDropIn(root, "other.slice", false)); err != nil {
				t.Error(err)
			}
			if _, found := DropIn(root, unit); !found {
				t.Error("it was to be kept")
			}
			if err := RemoveDropIn(root, unit, false); err != nil {
				t.Error(err)
			}
			if _, found := DropIn(root, unit); found {
				t.Error("it still is there")
			}
			if _, err := os.Stat(folder); (err == nil) != (other != "") {
				t.Errorf("with %q beside it: %v", other, err)
			}
		}
	}
}

func TestAUnitWithCPUsOfTheAdministratorsGetsADropInThatComesLast(t *testing.T) {
	systemctl(t, "")
	root := host.Root(t.TempDir())
	last := root.Path(controlDir, "user.slice.d/zz-rtshield.conf")
	if err := AllowCPUs(root, "user.slice", cpuset.New(0, 1), true); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(last); err != nil || !strings.HasPrefix(string(text), "[Slice]\n") || !strings.HasSuffix(string(text), "\nAllowedCPUs=\nAllowedCPUs=0-1\n") {
		t.Errorf("%q, %v", text, err)
	}
	if err := errors.Join(AllowCPUs(root, "user.slice", cpuset.New(0, 1, 2), false), RemoveDropIn(root, "user.slice", false)); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(root.Path(controlDir, "*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
