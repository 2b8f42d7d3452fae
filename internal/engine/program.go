package engine

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/rtshield/rtshield/internal/privilege"
)

// Program is the path of this program that an engine shall call: as it was called, since what it is a link to may have a
// version in its path.
func Program(argv0 string) (string, error) {
	self, err := os.Stat("/proc/self/exe")
	if err != nil {
		return "", err
	}
	called, err := exec.LookPath(argv0)
	if err == nil {
		called, err = filepath.Abs(called)
	}
	if err != nil {
		called = ""
	}
	real, err := os.Executable()
	if err != nil {
		return "", err
	}
	for _, path := range []string{called, filepath.Join(filepath.Dir(called), "rtshield"), real} {
		info, err := os.Stat(path)
		if err == nil && os.SameFile(info, self) && !strings.HasPrefix(filepath.Base(path), "rtshield-") {
			return path, privilege.Trusted(path)
		}
	}
	return "", fmt.Errorf("%s is a name that means a class: install it as rtshield first", real)
}

// usable says whether Kubernetes takes a name for a handler, and every engine for a runtime.
func usable(name string) bool {
	return name != "" && len(name) <= 40 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" &&
		!strings.HasPrefix(name, "-") && !strings.HasSuffix(name, "-")
}

// Runtimes are the entries for a program: one by its own name, and one for each class.
func Runtimes(name, program string, classes []string) ([]Runtime, error) {
	if !usable(name) {
		return nil, fmt.Errorf("--name %s: expected lower case letters, digits and -", name)
	}
	if name == "runc" || name == "crun" {
		return nil, fmt.Errorf("--name %s: engines know another program by that name", name)
	}
	runtimes := []Runtime{{Name: name, Program: program}}
	for _, class := range classes {
		if !usable(class) {
			return nil, fmt.Errorf("class %q cannot be part of a runtime's name: lower case letters, digits and - can", class)
		}
		runtimes = append(runtimes, Runtime{
			Name: name + "-" + class, Program: filepath.Join(filepath.Dir(program), "rtshield-"+class), Link: filepath.Base(program),
		})
	}
	return runtimes, nil
}
