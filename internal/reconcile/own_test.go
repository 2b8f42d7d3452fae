package reconcile

import (
	"os"
	"path/filepath"
	"testing"

	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/shield"
)

// Its rtshield was killed: the cpuset says how far the delegate came, and has the CPUs of exec in it.
func TestAMoveIsEndedWhereTheWiderCpusetSays(t *testing.T) {
	one := func(cpu int) shield.CPUs { return shield.CPUsOf(cpuset.New(cpu)) }
	for now, want := range map[string]string{"0,2": "2", "0,3": "3", "3": "2", "0,2-3": "2"} {
		dir := t.TempDir()
		for file, text := range map[string]string{"cpuset.cpus": now, "cpuset.mems": "0"} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		grant := shield.Grant{
			CPUs: one(2), ExecCPUs: one(0), Cgroups: shield.Cgroups{Cpuset: "/"},
			Move: &shield.Move{CPUs: one(3), Owner: shield.Owner{PID: 7, Start: 7}},
		}
		endMove(host.Root(dir), &grant)
		if grant.Move != nil || grant.CPUs.String() != want || grant.ExecCPUs.String() != "0" {
			t.Errorf("cpuset %s: it has CPU %s, want %s", now, grant.CPUsText(), want)
		}
	}
}
