// Package arch holds the arrows of ARCHITECTURE.md: which room may import which.
package arch

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/rtshield/rtshield/"

// may lists, for each room, the rooms that it may import. A name ending in /* stands for all below it too. The first
// room that fits counts.
var may = []struct {
	room    string
	imports []string
}{
	{"cmd/*", []string{"*"}},
	{"integration/*", []string{"*"}},
	{"scripts/*", nil},
	{"docs", nil},
	{"runtime/argv", nil},
	{"runtime/delegate", []string{"internal/config/location", "internal/privilege"}},
	{"runtime/early", []string{"runtime/argv", "runtime/delegate"}},
	{"runtime", []string{"runtime/argv", "runtime/delegate", "spec", "internal/*"}},
	{"spec", []string{"internal/shield"}},
	{"hooks", []string{"internal/*"}},
	{"internal/shield", nil},
	{"internal/host", nil},
	{"internal/host/irqbalance", []string{"internal/host", "internal/host/systemd"}},
	{"internal/host/*", []string{"internal/host"}},
	{"internal/promise", []string{"internal/shield", "internal/host/*", "internal/reconcile"}},
	{"internal/reconcile", []string{"internal/shield", "internal/host/*"}},
	{"internal/config/location", nil},
	{"internal/privilege", nil},
	{"internal/config", []string{"internal/shield", "internal/config/location", "internal/privilege"}},
	{"internal/kubelet", []string{"internal/shield", "internal/host", "internal/privilege"}},
	{"internal/arch", nil},
	{"internal/*", []string{"internal/*"}}, // the administrator's tools
}

// banned are libraries that the program must not link, because every OCI verb would pay for their initialisation.
var banned = []string{
	"github.com/prometheus/procfs", "github.com/opencontainers/cgroups", "github.com/opencontainers/runtime-spec/specs-go",
	"github.com/godbus/dbus", "net/http", "google.golang.org/grpc", "google.golang.org/protobuf", "k8s.io/cri-api",
	"golang.org/x/image", "image", // rtshield-plot draws
}

func fits(pattern, room string) bool {
	if prefix, below := strings.CutSuffix(pattern, "*"); below {
		return strings.HasPrefix(room+"/", prefix)
	}
	return pattern == room
}

type pkg struct {
	ImportPath string
	Imports    []string
}

func list(t *testing.T, args ...string) []pkg {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list", "-json=ImportPath,Imports"}, args...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	var packages []pkg
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

func TestImportsFollowTheArrows(t *testing.T) {
	packages := list(t, module+"...")
	if len(packages) < 15 {
		t.Fatalf("only %d packages were looked at", len(packages))
	}
	for _, p := range packages {
		room := strings.TrimPrefix(p.ImportPath, module)
		allowed, known := []string(nil), false
		for _, rule := range may {
			if fits(rule.room, room) {
				allowed, known = rule.imports, true
				break
			}
		}
		if !known {
			t.Errorf("%s has no place in the table of ARCHITECTURE.md", room)
		}
		for _, imported := range p.Imports {
			target, ours := strings.CutPrefix(imported, module)
			ok := !ours
			for _, pattern := range allowed {
				ok = ok || fits(pattern, target)
			}
			if !ok {
				t.Errorf("%s must not import %s", room, target)
			}
		}
	}
}

func TestTheProgramLinksNoSlowLibrary(t *testing.T) {
	for _, p := range list(t, "-deps", "-tags", "urfave_cli_no_docs", module+"cmd/rtshield") {
		for _, name := range banned {
			if p.ImportPath == name || strings.HasPrefix(p.ImportPath, name+"/") {
				t.Errorf("the program links %s", p.ImportPath)
			}
		}
	}
}
