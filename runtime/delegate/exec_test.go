package delegate

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestExec(t *testing.T) {
	cmd := helper(t, "exec", "", `echo "$$ $0 $HELPER"`)
	out := output(t, cmd)
	if want := fmt.Sprintf("%d /bin/sh exec", cmd.Process.Pid); out != want {
		t.Errorf("pid, argv[0] and environment: %q, want %q", out, want)
	}
}

func TestDelegateArgv(t *testing.T) {
	for _, argv := range [][]string{nil, {"rtshield"}} {
		if got := delegateArgv("/r", argv); len(got) != 1 || got[0] != "/r" {
			t.Errorf("%q: %q", argv, got)
		}
	}
	argv := []string{"rtshield", "state", ""}
	if got := strings.Join(delegateArgv("/r", argv), "|"); got != "/r|state|" || argv[0] != "rtshield" {
		t.Errorf("got %q, argv is now %q", got, argv)
	}
}

func TestExecError(t *testing.T) {
	plain := filepath.Join(realDir(t), "plain")
	write(t, plain, "")
	for path, want := range map[string]error{"/nosuch": os.ErrNotExist, plain: syscall.EACCES} {
		err := Exec(path, nil, nil)
		if !errors.Is(err, want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// What an engine sets up for the runtime arrives at the delegate, by either way.
func TestInheritance(t *testing.T) {
	before := "ulimit -Sn 77; exec 5</dev/null 9</etc/passwd; cd /proc"
	for _, mode := range []string{"exec", "run"} {
		t.Run(mode, func(t *testing.T) {
			// Whoever runs the tests may have left something open; compare with a shell that we do not stand before.
			for _, given := range []string{"", before} {
				want := output(t, exec.Command("/bin/sh", "-c", given+"\nexec /bin/sh -c '"+openFDs+"'"))
				if got := output(t, helper(t, mode, given, openFDs)); got != want {
					t.Errorf("descriptors after %q: %q, want %q", given, got, want)
				}
			}
			// The same open files, not just the same numbers.
			if got := output(t, helper(t, mode, before, `readlink /proc/$$/fd/9; ulimit -Sn; pwd`)); got != "/etc/passwd\n77\n/proc" {
				t.Errorf("file, soft limit and directory: %q", got)
			}
			cmd := helper(t, mode, "", `read line; echo "$line"; echo err >&2`)
			var stderr strings.Builder
			cmd.Stdin, cmd.Stderr = strings.NewReader("in\n"), &stderr
			out, err := cmd.Output()
			if err != nil || string(out) != "in\n" || stderr.String() != "err\n" {
				t.Errorf("stdio: %q %q %v", out, stderr.String(), err)
			}
		})
	}
}
