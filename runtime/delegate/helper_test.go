package delegate

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain makes this test binary a small rtshield when it is asked to: execve and signals can only be looked
// at from outside.
func TestMain(m *testing.M) {
	path := os.Getenv("HELPER_PATH")
	switch os.Getenv("HELPER") {
	case "exec":
		fmt.Fprintln(os.Stderr, Exec(path, os.Args, os.Environ()))
		os.Exit(99)
	case "run":
		code, err := Run(path, os.Args, os.Environ())
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(99)
		}
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// helper runs Exec or Run of a shell with a script, behind a shell that prepares the ground ("" for nothing).
func helper(t *testing.T, mode, before, script string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", before+"\nexec \"$@\"", "sh", self, "-c", script)
	cmd.Env = append(os.Environ(), "HELPER="+mode, "HELPER_PATH=/bin/sh")
	return cmd
}

// openFDs prints the open descriptors between 3 and 40 of the shell that runs it. dash keeps one of its own at
// 10 and above only for a script file, which -c has not.
const openFDs = `n=3; while [ $n -le 40 ]; do [ -e /proc/$$/fd/$n ] && printf "$n "; n=$((n+1)); done`

func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// realDir is a temporary folder by its real path, whatever links $TMPDIR goes through.
func realDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
