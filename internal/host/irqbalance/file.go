package irqbalance

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"k8s.io/utils/cpuset"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/host/systemd"
)

// configFiles are where Debian and Red Hat keep irqbalance's environment (EnvironmentFile= of its unit).
var configFiles = []string{"/etc/default/irqbalance", "/etc/sysconfig/irqbalance"}

// The variables that irqbalance reads. The mask comes first if it is not empty (cputree.c), so that it would contradict a
// list.
const (
	maskVariable = "IRQBALANCE_BANNED_CPUS"
	listVariable = "IRQBALANCE_BANNED_CPULIST"
)

// Our lines stand together at the end of the file, where they win: the administrator's own stay as they are.
const (
	blockBegin = "# rtshield: real-time containers keep interrupts off these CPUs; goes with the last of them\n"
	blockEnd   = "# rtshield end"
)

const unit = "irqbalance.service"

func configFile(root host.Root) string {
	for _, file := range configFiles {
		if _, err := os.Stat(root.Path(file)); err == nil {
			return file
		}
	}
	return ""
}

// readFile says what the service was started with; one that does not run, what it would be started with.
func readFile(root host.Root, file string) (Status, error) {
	var banned cpuset.CPUSet
	var err error
	if pid, service := running(root); service {
		banned, err = configured(root, pid)
	} else {
		var text []byte
		if text, err = os.ReadFile(root.Path(file)); err == nil {
			banned, err = bannedBy(root, parseEnv(string(text)))
		}
	}
	return Status{Banned: banned}, err
}

// banInFile writes the file and restarts the service, which reads it only then.
func banInFile(root host.Root, file string, cpus cpuset.CPUSet) error {
	data, err := os.ReadFile(root.Path(file))
	if err != nil {
		return err
	}
	text := string(data)
	edited := withBan(root, text, cpus)
	if now, err := readFile(root, file); err == nil && now.Banned.Equals(cpus) && edited == text {
		return nil
	}
	if edited != text {
		if err := replace(root.Path(file), edited); err != nil {
			return err
		}
	}
	if _, service := running(root); !service {
		return nil
	}
	return restart(root, file, cpus)
}

// restart makes the service read the file, and waits until it has.
func restart(root host.Root, file string, cpus cpuset.CPUSet) error {
	// Containers that come and go quickly would run into StartLimitBurst=, which reset-failed forgets.
	if _, err := systemd.Control("reset-failed", unit); err != nil {
		return err
	}
	if _, err := systemd.Control("try-restart", unit); err != nil {
		return err
	}
	var now Status
	var err error
	for range 100 { // Type=simple: systemctl returns before the program is executed
		if now, err = readFile(root, file); err == nil && now.Banned.Equals(cpus) {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("%s was restarted and bans CPU %q, not %q as %s says", unit, now.Banned, cpus, file)
}

// Leftover finds our lines in a file, which a reboot does not take away as it does the ledger, and gives the ban that the
// file holds without them.
func Leftover(root host.Root) (file string, own cpuset.CPUSet, found bool) {
	file = configFile(root)
	if file == "" {
		return "", own, false
	}
	text, err := os.ReadFile(root.Path(file))
	without := withoutBlock(string(text))
	if err != nil || without == string(text) {
		return "", own, false
	}
	own, err = bannedBy(root, parseEnv(without))
	return file, own, err == nil
}

// withBan is the file's text with our lines, or without them where it bans these CPUs anyway.
func withBan(root host.Root, text string, cpus cpuset.CPUSet) string {
	text = withoutBlock(text)
	if own, err := bannedBy(root, parseEnv(text)); err == nil && own.Equals(cpus) {
		return text
	}
	block := blockBegin + maskVariable + "=\n" + listVariable + "=" + cpus.String() + "\n" + blockEnd
	if text == "" || strings.HasSuffix(text, "\n") {
		return text + block + "\n"
	}
	return text + "\n" + block // what ends without a newline still does
}

func withoutBlock(text string) string {
	before, rest, begins := strings.Cut(text, blockBegin)
	_, after, ends := strings.Cut(rest, blockEnd)
	if !begins || !ends {
		return text
	}
	if after == "" {
		return strings.TrimSuffix(before, "\n")
	}
	return before + strings.TrimPrefix(after, "\n")
}

// Sweep removes what a process that was killed while it wrote the file left beside it. Of an irqbalance with a socket nothing is.
func Sweep(root host.Root, name string) error {
	if !isFile(name) {
		return nil
	}
	file, err := filepath.EvalSymlinks(root.Path(name))
	if err != nil {
		return err
	}
	dir, base := filepath.Split(file)
	entries, err := os.ReadDir(dir)
	for _, entry := range entries {
		number, ours := strings.CutPrefix(entry.Name(), "."+base) // renameio's names
		if _, errNumber := strconv.ParseUint(number, 10, 64); ours && errNumber == nil {
			err = errors.Join(err, os.Remove(filepath.Join(dir, entry.Name())))
		}
	}
	return err
}

func replace(file, text string) error {
	file, err := filepath.EvalSymlinks(file)
	if err != nil {
		return err
	}
	return renameio.WriteFile(file, []byte(text), 0o644, renameio.WithExistingPermissions(), renameio.WithTempDir(filepath.Dir(file)))
}

// parseEnv reads lines of NAME=VALUE, the last of a name winning (systemd.exec(5), EnvironmentFile=).
func parseEnv(text string) map[string]string {
	env := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, found := strings.Cut(strings.TrimSpace(line), "=")
		if found && !strings.HasPrefix(name, "#") && !strings.HasPrefix(name, ";") {
			env[strings.TrimSpace(name)] = strings.Trim(strings.TrimSpace(value), `"'`)
		}
	}
	return env
}
