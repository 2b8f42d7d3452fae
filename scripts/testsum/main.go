// Command testsum runs `go test` once or several times and closes with one line
// that counts what ran. What was skipped is named: a test that quietly does not
// run must not pass for one that does.
//
//	testsum [go test arguments] [-- go test arguments]...
//
// The exit status is 1 when any test, build or go command failed.
package main

import (
	"fmt"
	"os"
	"os/exec"
)

func main() {
	s := newSummary(os.Stdout)
	for _, args := range split(os.Args[1:]) {
		if err := run(s, args); err != nil {
			s.commandFailed(err)
		}
	}
	s.close()
	if s.failed > 0 {
		os.Exit(1)
	}
}

// split cuts the arguments at "--", one run each. A run that names no package is
// left out: `go test` would then test the current directory.
func split(args []string) [][]string {
	var runs [][]string
	var current []string
	named := false
	flush := func() {
		if named {
			runs = append(runs, current)
		}
		current, named = nil, false
	}
	for i, a := range args {
		if a == "--" {
			flush()
			continue
		}
		current = append(current, a)
		// The Makefile gives packages by import path or ./path; a flag's
		// value ("-p 1", "-timeout 20m") follows its flag.
		if a[0] != '-' && !(i > 0 && takesValue(args[i-1])) {
			named = true
		}
	}
	flush()
	return runs
}

func takesValue(flag string) bool {
	switch flag {
	case "-p", "-timeout", "-run", "-skip", "-count", "-tags", "-parallel":
		return true
	}
	return false
}

func run(s *summary, args []string) error {
	tool := os.Getenv("GO")
	if tool == "" {
		tool = "go"
	}
	cmd := exec.Command(tool, append([]string{"test", "-json", "-count=1"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	before := s.failed
	readErr := s.read(out)
	err = cmd.Wait()
	if readErr != nil {
		return readErr
	}
	if err != nil && s.failed > before {
		return nil // told already, by the name of the test
	}
	if err != nil {
		return fmt.Errorf("%s: %w", cmd, err)
	}
	return nil
}
