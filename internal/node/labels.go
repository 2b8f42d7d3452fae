package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/cpuset"
	"github.com/rtshield/rtshield/internal/host/platform"
	"github.com/rtshield/rtshield/internal/shield"
)

// The labels of a node, below rtshield.io/. Ready is what the RuntimeClasses select.
const (
	Ready      = "ready"
	Level      = "level"
	PreemptRT  = "preempt-rt"
	ShieldCPUs = "shield-cpus"
	FreeCPUs   = "free-cpus"
)

// Labels are values by their names. An empty value is for a label that shall not be there.
type Labels map[string]string

// NoLabels takes all of them away.
func NoLabels() Labels {
	return Labels{Ready: "", Level: "", PreemptRT: "", ShieldCPUs: "", FreeCPUs: ""}
}

// Labels tells what the node can do. Where that cannot be told the labels that would say it go.
func (n Node) Labels(ctx context.Context) (Labels, error) {
	labels := NoLabels()
	labels[Ready] = "true"
	root := host.Root(n.Root)
	labels[PreemptRT] = strconv.FormatBool(platform.ReadPreemption(root, nil).Model == "rt")
	answer, err := n.onHost(ctx, "status", "--json")
	if err != nil {
		return labels, err
	}
	var now struct {
		Layout shield.Layout `json:"layout"`
		Free   shield.CPUs   `json:"free"`
	}
	if err := json.Unmarshal([]byte(answer), &now); err != nil {
		return labels, fmt.Errorf("rtshield status --json: %w", err)
	}
	labels[ShieldCPUs], labels[FreeCPUs] = strconv.Itoa(now.Layout.Pool.Size()), strconv.Itoa(now.Free.Size())
	labels[Level] = level(root, now.Layout)
	return labels, nil
}

// level is the strongest that a container can have here, by what create decides it by.
func level(root host.Root, layout shield.Layout) string {
	const mount = "sys/fs/cgroup"
	strongest := shield.LevelAffinity
	if able := cpuset.Probe(root, mount); able.Cpusets {
		strongest = shield.LevelCpuset
		if able.Remote {
			strongest = shield.LevelPartition
		}
	} else if _, err := os.Stat(root.Path(mount, "cpuset", "cpuset.cpus")); err == nil {
		strongest = shield.LevelCpuset
	}
	if topo, err := root.Topology(); err == nil && !topo.Isolated.Intersection(layout.Pool.CPUSet).IsEmpty() && strongest == shield.LevelPartition {
		strongest = shield.LevelCpuset
	}
	if slices.Contains(shield.Levels, layout.Level) && shield.Weaker(layout.Level, strongest) {
		strongest = layout.Level
	}
	return strongest
}

// featureDir is where Node Feature Discovery's worker reads labels of others from.
const featureDir = "etc/kubernetes/node-feature-discovery/features.d"

// HasFeatureDiscovery says whether that directory is there.
func (n Node) HasFeatureDiscovery() bool {
	info, err := os.Stat(n.path(featureDir))
	return err == nil && info.IsDir()
}

// WriteFeatures tells Node Feature Discovery the labels; without any, the file goes.
func (n Node) WriteFeatures(labels Labels) error {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		if labels[name] != "" {
			fmt.Fprintf(&text, "%s/%s=%s\n", shield.Domain, name, labels[name])
		}
	}
	path := n.path(featureDir + "/rtshield")
	if text.Len() == 0 {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	if have, err := os.ReadFile(path); err == nil && string(have) == text.String() {
		return nil
	}
	// The worker reads every file of the directory: what is not complete stands above it.
	temp := filepath.Join(filepath.Dir(filepath.Dir(path)), ".rtshield")
	if err := os.WriteFile(temp, []byte(text.String()), 0o644); err != nil {
		return err
	}
	return os.Rename(temp, path)
}
