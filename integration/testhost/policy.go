package testhost

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rtshield/rtshield/integration/machine"
	"github.com/rtshield/rtshield/runtime/delegate"
)

// Options of a policy file. The zero value of each leaves it to the default given here.
type Options struct {
	// Dir is where to write it. Default: a directory of the test's own.
	Dir string
	// Delegates; default: Runc.
	Delegates []string
	// State is the ledger's directory; default: Dir/state.
	State string
	// Exempt are added to the tasks that run this machine.
	Exempt []string
	// Layout are more lines of [layout], such as `reserve = "always"`.
	Layout string
	// Classes is the text of [class.<name>] tables.
	Classes string
}

// Aside is a class whose exec runs on housekeeping CPUs.
const Aside = "[class.aside]\npolicy = \"fifo\"\nexec_cpus = \"housekeeping\"\n"

// PolicyFile is a policy file that was written.
type PolicyFile struct {
	Path, State string
}

// Env is the variable that makes rtshield read the file.
func (p PolicyFile) Env() string { return "RTSHIELD_CONFIG=" + p.Path }

// Ledger is where the ledger is while something is in it.
func (p PolicyFile) Ledger() string { return filepath.Join(p.State, "ledger.json") }

// Policy writes a policy file.
func Policy(t testing.TB, options Options) PolicyFile {
	t.Helper()
	if options.Dir == "" {
		options.Dir = t.TempDir()
	}
	policy, err := WritePolicy(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := delegate.Forget(policy.Path); err != nil {
			t.Error(err)
		}
	})
	return policy
}

// WritePolicy is Policy for TestMain. It needs Dir.
func WritePolicy(options Options) (PolicyFile, error) {
	policy := PolicyFile{Path: filepath.Join(options.Dir, "config.toml"), State: options.State}
	if policy.State == "" {
		policy.State = filepath.Join(options.Dir, "state")
	}
	if len(options.Delegates) == 0 {
		runc, err := FindRunc()
		if err != nil {
			return policy, err
		}
		options.Delegates = []string{runc}
	}
	// rtshield trusts the file only if root alone can have written it.
	if err := os.Chmod(options.Dir, 0o755); err != nil {
		return policy, err
	}
	text := fmt.Sprintf("[runtime]\ndelegates = %s\nstate = %q\n\n[layout]\nexempt = %s\n%s\n%s\n",
		list(options.Delegates), policy.State, list(append(machine.Exempt(), options.Exempt...)),
		options.Layout, options.Classes)
	return policy, os.WriteFile(policy.Path, []byte(text), 0o644)
}

func list(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = fmt.Sprintf("%q", word)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
