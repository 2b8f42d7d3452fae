package config

import (
	"fmt"
	"strings"

	"github.com/rtshield/rtshield/internal/shield"
)

// Option is one option of a class, by the key that the policy file has for it. Value is a string, a number, a truth value or a
// list.
type Option struct {
	Key   string
	Value any
}

// String gives the value as people write it.
func (o Option) String() string {
	if list, is := o.Value.([]string); is {
		return strings.Join(list, ", ")
	}
	return fmt.Sprint(o.Value)
}

// Options lists what a class says, in the order of the README. What its policy has no use for is left out.
func Options(c shield.Class) []Option {
	list := []Option{{"policy", string(c.Policy)}}
	if c.Policy.HasPriority() {
		list = append(list, Option{"priority", c.Priority}, Option{"max_priority", c.MaxPriority})
	} else if c.Policy != shield.Deadline {
		list = append(list, Option{"nice", c.Nice})
	}
	if c.Policy == shield.Deadline {
		list = append(list, Option{"deadline", c.Deadline.String()})
	}
	list = append(list, Option{"cpus", c.CPUs}, Option{"max_cpus", c.MaxCPUs}, Option{"shared", c.Shared}, Option{"smt", c.SMT}, Option{"numa", c.NUMA}, Option{"near", c.Near.String()},
		Option{"partition", c.Partition}, Option{"irq", c.IRQ}, Option{"irq_claim", append([]string{}, c.IRQClaim...)}, Option{"require_level", c.RequireLevel},
		Option{"rtprio", wish(c.RTPrio)}, Option{"memlock", wish(c.Memlock)})
	if c.Policy.HasPriority() {
		list = append(list, Option{"rttime", c.RTTime.String()})
	}
	list = append(list, Option{"exec", c.Exec}, Option{"exec_cpus", c.ExecCPUs}, Option{"ordinary", c.Ordinary}, Option{"helpers", c.Helpers},
		Option{"l3", ways(c.L3)}, Option{"swap", c.Swap}, Option{"thp", c.THP}, Option{"ksm", c.KSM}, Option{"memory_policy", c.MemoryPolicy}, Option{"hugepages", c.HugePages})
	if len(c.MaxHugePages) > 0 {
		sizes := make([]string, len(c.MaxHugePages))
		for i, pages := range c.MaxHugePages {
			sizes[i] = pages.String()
		}
		list = append(list, Option{"max_hugepages", strings.Join(sizes, ", ")})
	}
	return append(list, Option{"cstates", c.Power.CStates}, Option{"governor", c.Power.Governor}, Option{"energy_performance_preference", c.Power.Preference},
		Option{"scaling_min_freq", c.Power.MinFreq}, Option{"fair_server", c.Power.FairServer})
}

func wish(w shield.Wish) any {
	switch w {
	case shield.On:
		return true
	case shield.Off:
		return false
	}
	return string(w)
}

func ways(l3 int) string {
	if l3 == 0 {
		return shield.Keep
	}
	return fmt.Sprintf("exclusive:%d", l3)
}

// The tables of the policy file. A class's is called class.<name>.
const (
	TableRuntime = "runtime"
	TableLayout  = "layout"
	TableClass   = "class"
)

// Keys lists the options that a class can have.
func Keys() []string { return TableKeys(TableClass) }

// TableKeys lists the keys that a table of the policy file can have.
func TableKeys(table string) []string {
	return strings.Split(keysOf(map[string]any{TableRuntime: file{}.Runtime, TableLayout: file{}.Layout, TableClass: class{}}[table]), ", ")
}

// Origins tells where in the policy file a value stands.
type Origins struct {
	path string
	data []byte
}

// Origins reads the policy file again: what create needs of it is in c already.
func (c Config) Origins() (Origins, error) {
	if c.Path == "" {
		return Origins{}, nil
	}
	data, err := readTrusted(c.Path)
	return Origins{c.Path, data}, err
}

// Of gives the place of a key, as path:line, or "" where the file does not have it. Keys are the table's and its own.
func (o Origins) Of(keys ...string) string {
	if line := lineOf(o.data, keys); line > 0 {
		return fmt.Sprintf("%s:%d", o.path, line)
	}
	return ""
}

// OfClass says where a class has an option from.
func (o Origins) OfClass(class shield.Class, key string) string {
	if place := o.Of("class", class.Name, key); place != "" {
		return fmt.Sprintf("class %s, %s", class.Name, place)
	}
	builtin := shield.BuiltinClasses()
	if model, known := builtin[class.Name]; known && model.Policy == class.Policy {
		return fmt.Sprintf("class %s, built in", class.Name)
	}
	model := string(class.Policy)
	if _, known := builtin[model]; !known {
		model = "batch"
	}
	return fmt.Sprintf("class %s, as the built-in %s", class.Name, model)
}
