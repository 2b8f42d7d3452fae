package runc_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/integration/runc/rig"
	"github.com/rtshield/rtshield/internal/status"
	"github.com/rtshield/rtshield/internal/terminal/pty"
)

func statusOf(r *rig.Rig) (now status.Status) {
	r.Helper()
	if err := json.Unmarshal([]byte(r.Must(r.Shield("status", "--json")).Stdout), &now); err != nil {
		r.Fatal(err)
	}
	return now
}

func TestStatusShowsTheGrantedCPUWithItsContainer(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		r.Detach("web", r.Bundle("web", rig.Class("fifo")))
		has(r, "status", r.Must(r.Shield("status")).Stdout, "│  0 = housekeeping │  1 A web", "\nA  web  ", "1 CPU granted to 1 container, 0 free")
		before := statusOf(r)
		if cpus := before.CPUs; len(cpus) != 2 || cpus[0].Use != status.Housekeeping || cpus[1].Use != status.Granted || cpus[1].Holder == nil ||
			cpus[1].Holder.ID != "web" || cpus[1].Holder.Root != r.Root {
			r.Errorf("status --json has %+v", cpus)
		}
		file := filepath.Join(r.Dir, "rtshield.prom")
		if out := r.Must(r.Shield("status", "--prometheus", "--output", file)).Stdout; out != "" {
			r.Errorf("beside the file, status printed %q", out)
		}
		heldToStatus(r, file, before, statusOf(r))
		r.End("web")
		has(r, "status", r.Must(r.Shield("status")).Stdout, "│  0 = housekeeping │  1 · free")
	})
}

// heldToStatus holds a file of metrics to what status says before and after it was written.
func heldToStatus(r *rig.Rig, file string, before, after status.Status) {
	r.Helper()
	text, err := os.Open(file)
	if err != nil {
		r.Fatal(err)
	}
	defer text.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(text)
	if err != nil {
		r.Fatal(err)
	}
	value := func(name string, labels ...string) float64 {
		for _, m := range families[name].GetMetric() {
			if carries(m, labels) {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
		r.Errorf("no %s %q", name, labels)
		return -1
	}
	uses := map[status.Use]int{}
	for _, cpu := range before.CPUs {
		uses[cpu.Use]++
	}
	for _, use := range status.Uses {
		if got := value("rtshield_cpus", "use", string(use)); got != float64(uses[use]) {
			r.Errorf("rtshield_cpus %s is %v, want %d", use, got, uses[use])
		}
	}
	web := before.Grants[0]
	own := []string{"root", r.Root, "id", "web", "name", "web"}
	value("rtshield_container_info", append(own, "class", web.Class, "policy", web.Policy, "level", web.Level, "cpus", web.CPUs.String())...)
	limits := value("rtshield_container_limits", append(own, "cause", "host")...) + value("rtshield_container_limits", append(own, "cause", "changed")...)
	if limits != float64(len(web.Limits)) {
		r.Errorf("%v limits, want %d", limits, len(web.Limits))
	}
	for mark, want := range map[string]bool{"holds": true, "broken": false, "unknown": false} {
		if got := value("rtshield_container_promises", append(own, "mark", mark)...); got > 0 != want {
			r.Errorf("%v promises are marked %s", got, mark)
		}
	}
	if got := value("rtshield_host_broken_promises"); got != 0 {
		r.Errorf("%v promises of the host are broken", got)
	}
	low, high := web.Interference.CPUs[0], after.Grants[0].Interference.CPUs[0]
	for kind, bounds := range map[string][2]uint64{
		"device": {low.DeviceIRQs(), high.DeviceIRQs()}, "tick": {low.Ticks, high.Ticks}, "ipi": {low.IPIs(), high.IPIs()},
	} {
		if got := value("rtshield_interrupts_total", append(own, "cpu", shieldCPU, "kind", kind)...); got < float64(bounds[0]) || got > float64(bounds[1]) {
			r.Errorf("%v %ss, and status counted %v", got, kind, bounds)
		}
	}
}

// carries says whether a metric has these labels, pairs of name and value.
func carries(m *dto.Metric, labels []string) bool {
	for pair := range slices.Chunk(labels, 2) {
		if !slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool { return l.GetName() == pair[0] && l.GetValue() == pair[1] }) {
			return false
		}
	}
	return true
}

func TestAWatchIsDrawnAnewAndGivesTheTerminalBackAtCtrlC(t *testing.T) {
	rig.Each(t, func(r *rig.Rig) {
		const enter, leave, noCursor, cursor = "\x1b[?1049h", "\x1b[?1049l", "\x1b[?25l", "\x1b[?25h"
		r.Detach("web", r.Bundle("web", rig.Class("fifo")))
		screen := pty.Open(r, 90)
		cmd := r.Command(r.Context(), r.Rtshield, "status", "--watch", "--interval", "200ms")
		cmd.Env = append(cmd.Env, "TERM=xterm", "NO_COLOR=")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = screen.File, screen.File, screen.File
		cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
		if err := cmd.Start(); err != nil {
			r.Fatal(err)
		}
		defer func() { _ = cmd.Process.Kill() }()
		told := screen.Until(r, "\x1b[H", 3)
		if _, err := screen.Keyboard.WriteString("\x03"); err != nil {
			r.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			r.Errorf("after Ctrl-C: %v", err)
		}
		has(r, "the terminal", told, enter, noCursor, "every 200ms", "\x1b[36;1mA web\x1b[0m", "CONTAINER")
		told = screen.Until(r, leave, 1)
		if !strings.HasSuffix(told, cursor+leave) || strings.Count(told, noCursor) != 1 || strings.Count(told, cursor) != 1 {
			r.Errorf("the terminal was told %q", told)
		}
		r.End("web")
	})
}
