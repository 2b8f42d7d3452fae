//go:build vmguest

package guest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// watch logs what every process waits for if a command takes long, until the function that it gives is called. It logs
// that at once: what the kernel holds never ends, nor can it be killed.
func watch(t testing.TB, what string) (stop func()) {
	started := time.Now()
	done, logged := make(chan struct{}), make(chan struct{})
	after := func(passed time.Duration, then func()) bool {
		select {
		case <-done:
			return false
		case <-time.After(passed - time.Since(started)):
			then()
			return true
		}
	}
	go func() {
		defer close(logged)
		slow := after(6*time.Second, func() {
			t.Logf("$ %s takes 6 s by now:\n%s", what, waiting())
			_ = os.WriteFile("/proc/sysrq-trigger", []byte("l"), 0) // where every CPU is, on the console
		})
		if !slow {
			return
		}
		after(time.Minute, func() { _ = os.WriteFile("/proc/sysrq-trigger", []byte("w"), 0) }) // and every thread in D state
		<-done
		t.Logf("$ %s took %v", what, time.Since(started).Round(time.Millisecond))
	}()
	return func() { close(done); <-logged }
}

// waiting lists the processes with a program, and where in the kernel their threads are.
func waiting() string {
	var report strings.Builder
	tasks, _ := filepath.Glob("/proc/[0-9]*/task/[0-9]*")
	for _, task := range tasks {
		if exe, err := os.Readlink(task + "/exe"); err != nil || exe == "" {
			continue
		}
		comm, _ := os.ReadFile(task + "/comm")
		stat, _ := os.ReadFile(task + "/stat")
		stack, _ := os.ReadFile(task + "/stack")
		state := "?"
		if _, rest, ok := strings.Cut(string(stat), ") "); ok {
			state = rest[:1]
		}
		fmt.Fprintf(&report, "$ %s %s %s: %s\n", strings.TrimPrefix(task, "/proc/"), strings.TrimSpace(string(comm)), state,
			strings.Join(strings.Fields(string(stack)), " "))
	}
	return report.String()
}
