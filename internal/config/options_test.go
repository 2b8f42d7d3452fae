package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"

	"github.com/rtshield/rtshield/internal/shield"
)

// everything has each option with a value that is no default.
const everything = `
[class.all]
policy = "fifo"
priority = 60
max_priority = 70
nice = 0
cpus = 2
max_cpus = 6
smt = "require"
numa = "single"
near = "netdev eth1"
partition = "root"
irq = "keep"
irq_claim = ["eth1*", "nvme0"]
require_level = "cpuset"
rtprio = "require"
memlock = false
rttime = "1s"
exec = "inherit"
ordinary = "housekeeping"
helpers = "leave"
l3 = "exclusive:4"
swap = "keep"
thp = "never"
ksm = "keep"
memory_policy = "bind"
hugepages = "reserve"
max_hugepages = "2Mi=512, 1Gi=4"
cstates = "100us"
governor = "powersave"
energy_performance_preference = "balance_power"
scaling_min_freq = "max"
fair_server = "off"

[class.dl]
policy = "deadline"
deadline = "200us/1ms/1ms"

[class.plain]
policy = "other"
nice = -5
exec_cpus = "housekeeping"

[class.pool]
policy = "rr"
shared = true
`

func TestTheOptionsOfAClassMakeThatClassAgain(t *testing.T) {
	parsed, err := Parse("policy", []byte(everything))
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	for name, class := range parsed.Classes {
		table := map[string]any{}
		for _, option := range Options(class) {
			table[option.Key], told[option.Key] = option.Value, true
		}
		text, err := toml.Marshal(map[string]any{"class": map[string]any{"again": table}})
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse("again", text)
		if err != nil {
			t.Fatalf("%s: %v in\n%s", name, err, text)
		}
		got := again.Classes["again"]
		if got.Name = name; len(got.IRQClaim) == 0 {
			got.IRQClaim = nil
		}
		if !reflect.DeepEqual(got, class) {
			t.Errorf("%s: got\n%+v\nwant\n%+v", name, got, class)
		}
	}
	for _, key := range Keys() {
		if !told[key] {
			t.Errorf("nobody is told of option %s", key)
		}
	}
	if len(told) != len(Keys()) {
		t.Errorf("told of %d options, the file has %d", len(told), len(Keys()))
	}
}

func TestAnOptionsOriginIsItsLineElseWhatIsBuiltIn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.toml")
	text := "[layout]\nshield = \"auto\"\n\n[class.fifo]\npriority = 60\n\n[class.motor]\npolicy = \"rr\"\nmax_cpus = 2\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("RTSHIELD_CONFIG", file)
	policy, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	origins, err := policy.Origins()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ class, key, want string }{
		{"fifo", "priority", "class fifo, " + file + ":5"}, {"fifo", "cpus", "class fifo, built in"}, {"batch", "cpus", "class batch, built in"},
		{"motor", "max_cpus", "class motor, " + file + ":9"}, {"motor", "cpus", "class motor, as the built-in rr"},
	} {
		if got := origins.OfClass(policy.Classes[c.class], c.key); got != c.want {
			t.Errorf("%s of %s: %q, want %q", c.key, c.class, got, c.want)
		}
	}
	if got := origins.Of("layout", "shield"); got != file+":2" {
		t.Errorf("shield is at %q", got)
	}
	if got := origins.Of("layout", "level"); got != "" {
		t.Errorf("level, which is not there, is at %q", got)
	}
	none, err := Default().Origins()
	if err != nil || none.Of("layout", "shield") != "" || none.OfClass(shield.BuiltinClasses()["rr"], "cpus") != "class rr, built in" {
		t.Errorf("without a file: %v", err)
	}
	if fmt.Sprint(Option{"irq_claim", []string{"a", "b"}}) != "a, b" || !slices.Contains(Keys(), "irq_claim") || strings.Contains(strings.Join(Keys(), ""), " ") {
		t.Error("how options are written")
	}
}
