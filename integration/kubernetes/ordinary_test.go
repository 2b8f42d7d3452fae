package kubernetes_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/rtshield/rtshield/integration/testhost"
)

// optional is the text of a file, "" where there is none.
func optional(path string) string {
	text, _ := os.ReadFile(path)
	return strings.TrimSpace(string(text))
}

// What the user sees of a refusal is what kubectl describe shows.
func TestAPodThatAsksWithoutBeingGuaranteedIsToldWhatItLacks(t *testing.T) {
	unchanged(t)
	const lead = "rtshield: container app asks for class fifo, but the kubelet gave it no CPU of its own, only the shared pool (CPU "
	for name, c := range map[string]struct{ resources, want string }{
		"burstable":   {fraction, "its pod is Burstable and has to be Guaranteed (limits of CPU and memory in every container, and requests equal to them)"},
		"best-effort": {bestEffort, `it has no CPU limit and needs one of whole CPUs (cpu: "1")`},
	} {
		p := run(t, name, wish{class: "rtshield-fifo", containers: []string{container("app", c.resources, "", "true")}})
		testhost.Eventually(t, patience, func() error {
			if said := p.describe(); !strings.Contains(said, lead) || !strings.Contains(said, c.want) {
				return fmt.Errorf("kubectl describe does not show why:\n%s", said)
			}
			return nil
		})
		for line := range strings.Lines(p.describe()) {
			if strings.Contains(line, lead) {
				t.Logf("%s: %s", name, strings.TrimSpace(line))
			}
		}
		p.remove()
	}
}

func TestWhatAsksForNothingIsAsWithRunc(t *testing.T) {
	unchanged(t)
	once := func(resources, more string) wish {
		return wish{more: "restartPolicy: Never, ", containers: []string{container("app", resources, more, "/bin/rt-look")}}
	}
	hosts := func(more string) wish {
		w := once(fraction, "")
		w.more += more
		return w
	}
	kinds := map[string]wish{
		"burstable":       once(fraction, ""),
		"best-effort":     once(bestEffort, ""),
		"guaranteed-half": once("limits: {cpu: 500m, memory: 64Mi}", ""),
		"privileged":      once(fraction, ", securityContext: {privileged: true}"),
		"restricted":      once(fraction, ", securityContext: {runAsUser: 1000, runAsNonRoot: true, allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}"),
		"host-pid":        hosts("hostPID: true, "),
		"host-network":    hosts("hostNetwork: true, "),
		"user-namespace":  hosts("hostUsers: false, "),
		"shared-pid":      hosts("shareProcessNamespace: true, "),
	}
	initial := once(fraction, "")
	initial.init = []string{container("setup", fraction, "", "/bin/rt-look")}
	kinds["init"] = initial
	for kind, w := range kinds {
		t.Run(kind, func(t *testing.T) {
			with, without := w, w
			with.class = "rtshield"
			theirs, ours := run(t, kind+"-runc", without), run(t, kind+"-rtshield", with)
			want, got := theirs.said(), ours.said()
			if !strings.Contains(want, "NoNewPrivs") || got != want {
				t.Errorf("with runc:\n%s\nwith rtshield:\n%s", want, got)
			}
		})
	}
}

// said is what a pod's containers have printed when all of them have ended well.
func (p *pod) said() string {
	p.Helper()
	p.until("over", func(now *told) bool { return now.Status.Phase == "Succeeded" || now.Status.Phase == "Failed" })
	out, err := node.Kubectl("-n", space, "logs", p.name, "--all-containers")
	if now, _ := p.ask(); err != nil || now == nil || now.Status.Phase != "Succeeded" {
		p.Errorf("%+v, %v\n%s", now, err, p.describe())
	}
	return out
}
