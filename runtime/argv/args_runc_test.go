package argv

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// These lines work on a container. Which one runc understood shows by its error: a state.json that is garbage
// is noticed only if runc opens it.
var containerLines = []string{
	"state web", "-- state web", "state -- web", "start web", "pause web", "resume web", "ps web", "ps -f json web",
	"ps web -f json", "--debug state web", "-debug=false state web", "--root=ROOT state web", "--log LOG state web",
	"--log state state web", "--systemd-cgroup --rootless true state web",
	"delete web", "delete --force web", "delete web --force", "delete -f=0 web", "delete -- web", "delete web --bogus",
	"delete web -- --force", "delete --force -- web", "delete create", "delete -f --force web", "delete -f -f web",
	"kill web 9", "kill web", "kill --all web 9", "kill web --all 9", "kill web 9 --all", "kill 9 --all web", "kill -9 web",
	"kill web KILL x",
	"exec web create x", "exec web state", "exec -d web ls", "exec web -d ls", "exec -p nofile web", "exec --process=nofile web",
	"exec -e A=1 web ls", "exec --cwd web x ls", "exec -- web ls", "exec -dt web ls", "exec --bogus web ls", "exec web --help",
	"update --resources=nofile web", "update -r nofile web", "update web -r nofile", "update --cpuset-cpus 1 web",
	"update --cpu-share web x", "update x --cpu-share web", "update -r a --resources b web", "update --pids-limit many web",
	"events --stats web", "events web --stats", "events --interval soon web", "events --interval=1s --stats web",
	"checkpoint --image-path IMG web", "checkpoint web --leave-running", "state --help web", "state web -h",
	"state --help=false web", "--help state web", "-v state web", "state -v web", "--bogus state web", "---debug state web",
	"--debug=maybe state web", "nosuch web", "init web", "help state", "h web", "list web", "features web", "state", "web",
}

// And these on a bundle.
var bundleLines = []string{
	"create -b one x", "create --bundle one x", "create x --bundle one", "create x -b=one", "create one", "run -b one x",
	"run -d --bundle=one -b two x", "run --bundle two --bundle one x", "create --pid-file one x", "create --pid-file one --bundle two x",
	"--log one create --bundle two x", "create -- -b one", "create --bundle -- one x", "create -b one --help x",
	"restore -b one x", "run --keep -b one x", "run --keep one -b two", "create --no-pivot two --bundle one",
}

func TestParseLikeRunc(t *testing.T) {
	delegates := []string{testRunc(t)}
	if other := "/usr/sbin/runc"; other != delegates[0] && isThere(other) {
		delegates = append(delegates, other)
	}
	for _, runc := range delegates {
		t.Run(strings.ReplaceAll(runc, "/", "_"), func(t *testing.T) {
			t.Parallel()
			for _, line := range containerLines {
				inv := Parse(argv(line))
				want := inv.ID
				if inv.Help {
					want = ""
				}
				if got := containerOf(t, runc, line); got != want {
					t.Errorf("%s: runc works on %q, we read %q (%+v)", line, got, want, inv)
				}
			}
			for _, line := range bundleLines {
				inv := Parse(argv(line))
				want := inv.Bundle
				if inv.Help || !isBundle(want) {
					want = ""
				}
				if got := bundleOf(t, runc, line); got != want {
					t.Errorf("%s: runc opens bundle %q, we read %q (%+v)", line, got, want, inv)
				}
			}
		})
	}
}

func isBundle(bundle string) bool { return bundle == "one" || bundle == "two" }

// containerOf tries each word of the line: is this the container that runc opens?
func containerOf(t *testing.T, runc, line string) (id string) {
	t.Helper()
	words := strings.Fields(line)
	slices.Sort(words)
	for _, word := range slices.Compact(words) {
		if strings.HasPrefix(word, "-") {
			continue // neither a likely container nor a safe folder
		}
		dir := realDir(t)
		root := filepath.Join(dir, "root")
		write(t, filepath.Join(root, word, "state.json"), "garbage")
		args := append([]string{"--root", root}, strings.Fields(line)...)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "ROOT", root)
		}
		if findsGarbage(t, dir, runc, args) {
			if id != "" {
				t.Errorf("%s: runc works on %q and on %q", line, id, word)
			}
			id = word
		}
	}
	return id
}

func bundleOf(t *testing.T, runc, line string) (bundle string) {
	t.Helper()
	for _, name := range []string{"one", "two"} {
		dir := realDir(t)
		write(t, filepath.Join(dir, name, "config.json"), "garbage")
		if findsGarbage(t, dir, runc, append([]string{"--root", filepath.Join(dir, "root")}, strings.Fields(line)...)) {
			bundle = name
		}
	}
	return bundle
}

func findsGarbage(t *testing.T, dir, runc string, args []string) bool {
	t.Helper()
	cmd := exec.Command(runc, args...)
	cmd.Dir = dir
	out, _ := cmd.CombinedOutput() // nearly all of these fail, as they should
	// The text is in the log where the line has a --log, and runc then prints it on stderr as well.
	return strings.Contains(string(out), "invalid character 'g'")
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
