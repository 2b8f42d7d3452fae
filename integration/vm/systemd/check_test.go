//go:build vmguest

package systemd_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rtshield/rtshield/internal/check"
	"github.com/rtshield/rtshield/internal/shield"
)

// What check says of this host, Docker and irqbalance is what a container then has; it fails nothing, and leaves nothing.
func TestCheckSaysWhatAContainerThenHas(t *testing.T) {
	unchanged(t)
	var report check.Report
	if err := json.Unmarshal([]byte(run(t, "rtshield", "check", "--json")), &report); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(cgroupMount + "/rtshield-check*"); len(left) > 0 {
		t.Errorf("a check left %q", left)
	}
	grant := shielded(t).grant(t)
	if report.Level != grant.Level || report.Level == "" {
		t.Errorf("check said level %q (%s), and it is %q", report.Level, report.Weaker, grant.Level)
	}
	for _, finding := range report.Findings {
		switch {
		case finding.Name == "docker" && !strings.Contains(finding.Found, "knows rtshield"),
			finding.Name == "irqbalance" && finding.Mark != check.Good,
			finding.Name == "real time" && finding.Mark != check.Good,
			finding.Name == "partition" && grant.Level == shield.LevelPartition && !strings.Contains(finding.Found, "was made a partition"):
			t.Errorf("%+v", finding)
		}
	}
}
