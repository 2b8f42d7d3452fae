package config

import (
	"strings"
	"testing"
)

// FuzzPolicy: a policy file that is taken can be carried out, and one that is not says why in one line.
func FuzzPolicy(f *testing.F) {
	f.Add(designExample)
	for _, text := range []string{
		"", "[class.fifo]\npriority = 50\nmax_priority = 80\n", "[class.x]\npolicy = \"other\"\nnice = -20\n", "[layout]\nshield = \"0-4294967295\"\n",
		"[layout]\nexempt = [\"[\"]\n", "[class.fifo]\nrttime = \"200ms\"\ncstates = \"off\"\n", "[runtime]\ndelegates = []\nstate = \"/x\"\n",
		"[class.\"a\\nb\"]\npolicy = \"rr\"\n", "class.fifo.cpus = 99999999999", "[class.deadline]\ndeadline = \"1ms/1ms/1ms\"\n", "[class.fifo]\nrtprio = 7\n",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		config, err := Parse("p.toml", []byte(text))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "p.toml:") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q: %q", text, err)
			}
			return
		}
		if len(config.Delegates) == 0 || !strings.HasPrefix(config.State, "/") {
			t.Errorf("%q: %+v", text, config)
		}
		if err := checkLayout(config.Layout); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		for name, class := range config.Classes {
			if err := class.Validate(); err != nil || class.Name != name {
				t.Errorf("%q: class %q is %+v: %v", text, name, class, err)
			}
		}
	})
}
