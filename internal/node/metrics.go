package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// textfileDirs are where node exporters are told to look for files: what most guides say, and Debian's package.
var textfileDirs = []string{"/var/lib/node_exporter/textfile_collector", "/var/lib/prometheus/node-exporter"}

// metricsFile is the file for the node exporter; "" where there is none.
func (n Node) metricsFile() (string, error) {
	switch n.Metrics {
	case "none":
		return "", nil
	case "", "auto":
		for _, dir := range textfileDirs {
			if info, err := os.Stat(n.path(dir)); err == nil && info.IsDir() {
				return filepath.Join(dir, "rtshield.prom"), nil
			}
		}
		return "", nil
	}
	if !filepath.IsAbs(n.Metrics) {
		return "", fmt.Errorf("--metrics %s: expected a directory of the host, as the node exporter's --collector.textfile.directory has it, auto or none", n.Metrics)
	}
	return filepath.Join(n.Metrics, "rtshield.prom"), nil
}

// asService begins a command that runs as a service of the host. In a container's cgroup namespace /proc/PID/cgroup tells other paths
// than the ledger has (cgroup v2), and in its network namespace nobody listens on irqbalance's abstract address: from there what is
// well would look broken.
var asService = []string{"systemd-run", "--quiet", "--pipe", "--wait", "--collect", "--property=LogLevelMax=notice"}

// onHost runs rtshield so.
func (n Node) onHost(ctx context.Context, args ...string) (string, error) {
	return n.Run(ctx, slices.Concat(asService, []string{n.program("rtshield")}, args)...)
}

// readyMetric is the one that is ours and not status's.
const readyMetric = `# HELP rtshield_node_ready Whether the RuntimeClasses of rtshield may select this node.
# TYPE rtshield_node_ready gauge
rtshield_node_ready %s
`

// WriteMetrics writes what status tells Prometheus, and the value of the label ready, if there is one: a node that is on its way out
// has none here. Where nothing was installed it writes nothing.
func (n Node) WriteMetrics(ctx context.Context, ready string) error {
	file, err := n.metricsFile()
	if _, none := os.Stat(n.path(n.Dir)); err != nil || none != nil {
		return err
	}
	have, err := n.readRecord()
	if err != nil {
		return err
	}
	if have.Metrics != file {
		if err := n.removeMetrics(have); err != nil {
			return err
		}
		have.Metrics = file
		if err := n.save(have); err != nil {
			return err
		}
	}
	if file == "" {
		return nil
	}
	if err := n.makeDir(have, filepath.Dir(file)); err != nil { // one that was named
		return err
	}
	text, err := n.onHost(ctx, "status", "--prometheus")
	if err != nil && ready != "false" {
		return err // the file grows old, which is seen, too
	}
	if err != nil {
		text = "" // it may be half of one
	}
	if ready != "" {
		text += fmt.Sprintf(readyMetric, map[string]string{"true": "1", "false": "0"}[ready])
	}
	return errors.Join(err, write(n.path(file), []byte(text), 0o644))
}

// removeMetrics removes the file that was written last.
func (n Node) removeMetrics(have *record) error {
	if have.Metrics == "" {
		return nil
	}
	if err := os.Remove(n.path(have.Metrics)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	have.Metrics = ""
	return n.save(have)
}
