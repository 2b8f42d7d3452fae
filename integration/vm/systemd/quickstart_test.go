//go:build vmguest

package systemd_test

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rtshield/rtshield/docs"
)

const daemonJSON = "/etc/docker/daemon.json"

// Someone new copies the page line by line. The image is a busybox that has Debian's name, since nothing is pulled here; what
// the page says about installing packages and rtshield itself, the VM has behind it.
func TestTheQuickStartIsWhatHappens(t *testing.T) {
	run(t, "systemctl", "reload", "docker.service") // with the first, systemd gives the service another cgroup
	unchanged(t)
	importDebian(t)
	withoutRuntimes(t)
	before := text(t, daemonJSON)
	_, page, _ := strings.Cut(docs.QuickStart, "\n## Docker\n")
	section, _, _ := strings.Cut(page, "\n## ")
	done := 0
	for _, block := range blocks(section) {
		done += copied(t, block)
	}
	if done < 9 {
		t.Errorf("only %d commands were found in the page", done)
	}
	picture(t)
	if now := text(t, daemonJSON); now == before {
		t.Errorf("install has written nothing: %s", now)
	}
	out := run(t, "rtshield", "uninstall", "docker", "--restart")
	if now := text(t, daemonJSON); now != before {
		t.Errorf("daemon.json was %s, is %s", before, now)
	}
	if !strings.Contains(out, "dockerd keeps the names until its next start") {
		t.Errorf("uninstall says %q", out)
	}
	restartDocker(t)
	if out, err := command(nil, "docker", "run", "--rm", "--runtime", "rtshield-fifo", "debian:12", "true"); err == nil {
		t.Errorf("after uninstall and a restart dockerd still knows rtshield-fifo: %s", out)
	}
	ended(t)
}

// picture carries out the page's section of that name, in a folder of its own. What an emulated CPU takes to wake up is no
// measurement, so that the test with --max says no here.
func picture(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	_, page, _ := strings.Cut(docs.QuickStart, "\n## The picture\n")
	section, _, _ := strings.Cut(page, "\n## ")
	commands := blocks(section)
	if len(commands) != 2 || len(commands[0]) != 1 || len(commands[1]) != 1 {
		t.Fatalf("the page has %q", commands)
	}
	// Less of it than by default: its load makes an emulated machine ten times slower.
	out := within(t, 15*time.Minute, "sh", "-c", commands[0][0]+" --rounds 1 --duration 5s")
	for _, words := range []string{"P99.9", "runc + cpus=", "rtshield ", "fifo 50"} {
		if !strings.Contains(out, words) {
			t.Errorf("%q is not in\n%s", words, out)
		}
	}
	for name, magic := range map[string]string{"svg": "<svg", "png": "\x89PNG", "json": "{"} {
		if data := text(t, "rtshield-latency."+name); len(data) < 1000 || !strings.Contains(data[:200], magic) {
			t.Errorf("rtshield-latency.%s has %d bytes: %.100q", name, len(data), data)
		}
	}
	if out := within(t, 5*time.Minute, "sh", "-c", commands[1][0]+" 2>&1; echo status $?"); !strings.Contains(out, "status 1") && !strings.Contains(out, "status 0") || !strings.Contains(out, "--max 500µs: ") {
		t.Errorf("$ %s\n%s", commands[1][0], out)
	}
}

// importDebian makes an image of the name that the page has, with chrt and what that is linked with.
func importDebian(t *testing.T) {
	t.Helper()
	programs := []string{"/usr/bin/chrt"}
	for field := range strings.FieldsSeq(run(t, "ldd", programs[0])) {
		if strings.HasPrefix(field, "/") {
			programs = append(programs, field)
		}
	}
	tree, err := imageTree(programs...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := command(bytes.NewReader(tree), "docker", "import", "-", "debian:12"); err != nil {
		t.Fatal(err)
	}
}

// withoutRuntimes takes rtshield out of Docker's configuration, as it is before one begins.
func withoutRuntimes(t *testing.T) {
	t.Helper()
	was := text(t, daemonJSON)
	write := func(content string) {
		if err := os.WriteFile(daemonJSON, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		run(t, "systemctl", "reload", "docker.service")
	}
	head, _, found := strings.Cut(was, ",\n\t\"runtimes\"")
	if !found {
		t.Fatalf("%s has no runtimes: %s", daemonJSON, was)
	}
	t.Cleanup(func() { write(was + "\n") })
	write(head + "\n}\n")
}

// blocks are the indented ones of a page.
func blocks(page string) (all [][]string) {
	var block []string
	for line := range strings.Lines(page + "\nend\n") {
		line = strings.TrimRight(line, "\n")
		if code, indented := strings.CutPrefix(line, "    "); indented {
			block = append(block, code)
			continue
		}
		if line != "" && len(block) > 0 {
			all, block = append(all, block), nil
		}
	}
	return all
}

// copied carries out the commands of a block. Its other lines are what the command before them prints; which CPU it is, and
// which level before Linux 6.7, the page says is different elsewhere.
func copied(t *testing.T, block []string) (done int) {
	t.Helper()
	out := ""
	for _, line := range block {
		program, _, _ := strings.Cut(line, " ")
		switch {
		case program == "docker" || program == "rtshield":
			out = run(t, "sh", "-c", line)
			done++
			if line == "rtshield verify" && (!strings.Contains(out, "1 container: ") || !strings.Contains(out, " 0 broken")) {
				t.Errorf("$ %s\n%s", line, out)
			}
		case program == "apt-get" || line == "":
		default:
			if key, _, found := strings.Cut(line, "="); found && (key == "RTSHIELD_CPUS" || key == "RTSHIELD_LEVEL" && !partitions()) {
				line = key
			}
			if key, _, found := strings.Cut(line, "\t"); found {
				line = key
			}
			if !strings.Contains(out, line) {
				t.Errorf("%q is not in\n%s", line, out)
			}
		}
	}
	return done
}
