package delegate

import (
	"fmt"
	"io"
	"os"
	"os/exec"
)

// Version runs the delegate with our own arguments, shows what it says on stdout, and puts the line own after
// it, since most that parse this text want the delegate in its first line. Docker does not: it takes the last
// line that holds the word "version" (moby parseRuntimeVersion), so own decides what `docker info` calls the
// runtime. The exit code is the delegate's.
func Version(stdout io.Writer, delegatePath string, own string) (exit int) {
	return version(stdout, os.Stderr, delegatePath, os.Args, own)
}

func version(stdout, stderr io.Writer, path string, argv []string, own string) int {
	exit := 0
	out := &lastByte{Writer: stdout}
	env, err := Environ()
	if err == nil {
		cmd := exec.Command(path)
		cmd.Args, cmd.Env = delegateArgv(path, argv), env
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, out, stderr
		err = cmd.Run()
		// A delegate that ran has said itself what is wrong.
		if state := cmd.ProcessState; state != nil && !state.Success() {
			exit, err = exitCode(state), nil
		}
	}
	if out.any && out.last != '\n' {
		fmt.Fprintln(stdout)
	}
	fmt.Fprintln(stdout, own)
	if err != nil {
		fmt.Fprintf(stderr, "rtshield: ask %s for its version: %v\n", path, err)
		exit = 1
	}
	return exit
}

func exitCode(state *os.ProcessState) int {
	if code := state.ExitCode(); code >= 0 {
		return code
	}
	return 1 // ended by a signal; nobody looks closer at a version
}

// lastByte remembers how the output ended.
type lastByte struct {
	io.Writer
	any  bool
	last byte
}

func (l *lastByte) Write(p []byte) (int, error) {
	if len(p) > 0 {
		l.any, l.last = true, p[len(p)-1]
	}
	return l.Writer.Write(p)
}
