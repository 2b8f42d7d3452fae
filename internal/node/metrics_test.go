package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// metrics reads the value of ready out of a file for the node exporter, -1 where it says nothing of it.
func metrics(t *testing.T, path string) (ready float64) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o644 {
		t.Errorf("%v %v: the node exporter could not read it", info.Mode(), err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(string(text)))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if family := families["rtshield_node_ready"]; family != nil {
		return family.GetMetric()[0].GetGauge().GetValue()
	}
	return -1
}

func TestMetricsAreWrittenWhereTheNodeExporterLooksAndGoWithTheRest(t *testing.T) {
	s := newSite(t, "containerd", "/etc/containerd/config.toml")
	write := func(ready string) {
		t.Helper()
		if err := s.WriteMetrics(context.Background(), ready); err != nil {
			t.Fatal(err)
		}
	}
	before := tree(t, s.Root)
	write("true")
	same(t, "where nothing is installed", tree(t, s.Root), before)
	s.must(s.Install)
	installed := tree(t, s.Root)
	write("true")
	same(t, "where no node exporter looks", tree(t, s.Root), installed)
	if slices.ContainsFunc(s.calls, func(call string) bool { return strings.Contains(call, "--prometheus") }) {
		t.Errorf("status was asked for nobody: %q", s.calls)
	}
	s.must(s.Remove)
	for _, dir := range append([]string{"/srv/textfiles"}, textfileDirs...) {
		if err := os.MkdirAll(s.path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	before = tree(t, s.Root)
	s.must(s.Install)
	file := s.path(textfileDirs[0] + "/rtshield.prom")
	for ready, want := range map[string]float64{"true": 1, "false": 0, "": -1} {
		write(ready)
		if got := metrics(t, file); got != want {
			t.Errorf("ready %q is %v", ready, got)
		}
	}
	for _, call := range s.calls {
		if strings.Contains(call, "--prometheus") && !strings.HasPrefix(call, "systemd-run --quiet --pipe --wait ") {
			t.Errorf("%s: in a container's namespaces what is well would look broken", call)
		}
	}
	s.Metrics = "/srv/textfiles"
	write("true")
	if _, err := os.Stat(file); err == nil {
		t.Error("two files: the node exporter would count all twice")
	}
	if got := metrics(t, s.path("srv/textfiles/rtshield.prom")); got != 1 {
		t.Errorf("%v", got)
	}
	s.Metrics = "none"
	write("true")
	if _, err := os.Stat(s.path("srv/textfiles/rtshield.prom")); err == nil {
		t.Error("what nobody writes any more would be shown for ever")
	}
	s.Metrics = "auto"
	write("true")
	s.Metrics = "none" // another version, or other flags
	s.must(s.Remove)
	same(t, "after remove", tree(t, s.Root), before)
}

// Dashboard and alert rules are tested with that text (integration/manifests).
func TestTheTextThatOthersAreTestedWithIsWhatIsWritten(t *testing.T) {
	text := fmt.Sprintf(readyMetric, "1")
	if want, err := os.ReadFile("testdata/ready.prom"); err != nil || string(want) != text {
		t.Errorf("%v: testdata/ready.prom is not\n%s", err, text)
	}
	if problems, err := promlint.New(strings.NewReader(text)).Lint(); err != nil || len(problems) > 0 {
		t.Errorf("%v %+v", err, problems)
	}
}

func TestANamedDirectoryIsMadeAndGoesWithTheRest(t *testing.T) {
	s := newSite(t, "containerd", "/etc/containerd/config.toml")
	before := tree(t, s.Root)
	s.must(s.Install)
	s.Metrics = "textfiles"
	if err := s.WriteMetrics(context.Background(), "true"); err == nil || !strings.HasPrefix(err.Error(), "--metrics textfiles: expected a directory of the host") {
		t.Errorf("%v", err)
	}
	s.Metrics = "/srv/of/textfiles"
	if err := s.WriteMetrics(context.Background(), "true"); err != nil {
		t.Fatal(err)
	}
	if got := metrics(t, s.path("srv/of/textfiles/rtshield.prom")); got != 1 {
		t.Errorf("%v", got)
	}
	s.must(s.Remove)
	same(t, "after remove", tree(t, s.Root), before)
}

func TestMetricsOfABrokenProgramGrowOldUnlessTheyAreAboutThat(t *testing.T) {
	s := newSite(t, "containerd", "/etc/containerd/config.toml")
	if err := os.MkdirAll(s.path(textfileDirs[1]), 0o755); err != nil {
		t.Fatal(err)
	}
	s.must(s.Install)
	run := s.Run
	s.Run = func(ctx context.Context, argv ...string) (string, error) {
		if slices.Contains(argv, "--prometheus") {
			return "", errors.New("broken")
		}
		return run(ctx, argv...)
	}
	file := s.path(filepath.Join(textfileDirs[1], "rtshield.prom"))
	if err := s.WriteMetrics(context.Background(), "true"); err == nil {
		t.Error("nothing is said")
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a file was written all the same")
	}
	if err := s.WriteMetrics(context.Background(), "false"); err == nil || metrics(t, file) != 0 {
		t.Errorf("%v: that the node is not ready has to be said", err)
	}
}
