package runtime

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rtshield/rtshield/internal/shield"
	"github.com/rtshield/rtshield/runtime/argv"
)

// crun takes nothing but --process for the CPUs of what it adds: a command line becomes one.
func TestWhatExecAddsIsSentToItsCPUsHoweverItIsNamed(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("config.json", `{"process":{"args":["/loop"],"cwd":"/","env":["A=1"],"user":{"uid":0,"gid":0}}}`)
	file := write("process.json", `{"args":["/x"],"scheduler":{"policy":"SCHED_FIFO"},"execCPUAffinity":{"final":"2"}}`)
	exec := shield.Grant{Bundle: dir, Policy: shield.FIFO, Priority: 50}
	exec.ExecCPUs, _ = shield.ParseCPUs("0-1")
	plain, inherit := exec, exec
	plain.ExecCPUs, inherit.ExecCPUs, inherit.Exec = shield.CPUs{}, shield.CPUs{}, shield.Inherit
	const there = `"execCPUAffinity":{"final":"0-1","initial":"0-1"}`
	for _, c := range []struct {
		grant shield.Grant
		args  []string
		want  string
	}{
		{exec, []string{"--process", file, "web"}, `{"args":["/x"],` + there + `}`},
		{exec, []string{"--env", "B=2", "web", "/x", "-y"}, `{"args":["/x","-y"],"cwd":"/","env":["A=1","B=2"],` + there + `,"terminal":false,"user":{"uid":0,"gid":0}}`},
		{plain, []string{"--process", file, "web"}, `{"args":["/x"],"execCPUAffinity":{"final":"2"}}`},
		{inherit, []string{"--process", file, "web"}, `{"args":["/x"],"execCPUAffinity":{"final":"2"},"scheduler":{"policy":"SCHED_FIFO","priority":50}}`},
	} {
		got, err := process(argv.Parse(append([]string{"rtshield", "exec"}, c.args...)), c.grant)
		if err != nil || string(got) != c.want {
			t.Errorf("exec %q, exec on CPU %q:\n got %s, %v\nwant %s", c.args, c.grant.ExecCPUs, got, err, c.want)
		}
	}
}
