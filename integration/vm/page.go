package vm

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Matter is what a page is about.
type Matter struct{ Title, Target, Intro, Tests string }

// The pages: docs/kernels.md and docs/kernels-systemd.md.
var (
	KernelsPage = Matter{
		"What holds on which kernel", "vmtest",
		"Debian's real-time kernels in VMs with 8 emulated CPUs on two NUMA nodes, SMT, NVMe and multi-queue virtio.", "guest",
	}
	SystemdPage = Matter{
		"What holds with systemd, Docker and irqbalance", "vmtest-systemd",
		"Debian trixie (systemd 257, Docker 26.1 with the systemd cgroup driver and live-restore, irqbalance 1.9) in the same VMs.", "systemd",
	}
)

// Page is all that is known of the kernels, and only what the run gave.
func Page(matter Matter, columns []Column, kernels map[string]Kernel) string {
	var text strings.Builder
	fmt.Fprintf(&text, `# %s

<!-- Written by `+"`make %s`"+`: change integration/vm/page.go, not this page. -->

%s Each line is a test of `+"`integration/vm/%s`"+`, whose name it is; all columns are of one run. The delegates: %s.

%s
`, matter.Title, matter.Target, matter.Intro, matter.Tests, strings.Join(delegatesOf(columns), ", "), kernelList(columns, kernels))
	text.WriteString(Markdown(columns))
	text.WriteString(`
- *held*: it works, and was read back from the kernel.
- *limit*: it works, and what the kernel does not let anybody take away is named, here and in ` + "`rtshield status`" + `.
- *not supported*: the kernel has not got it; who asks for it is refused with this reason.
- a dash: not played there, since it would say what it says beside, or has nothing to say.

No Debian real-time kernel has RT_GROUP_SCHED: its budgets are tested on the host that ` + "`make test`" + ` runs on, with cgroup v1.
`)
	return text.String()
}

// delegatesOf are those that the tests have run through, as they name themselves.
func delegatesOf(columns []Column) []string {
	var names []string
	for _, column := range columns {
		for _, result := range column.Results {
			if name := strings.ReplaceAll(result.Sub, "-", " "); name != "" && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	if len(names) == 0 {
		names = []string{"the module's runc"}
	}
	slices.Sort(names)
	return names
}

// kernelList says what is behind each column.
func kernelList(columns []Column, kernels map[string]Kernel) string {
	var text strings.Builder
	for _, column := range columns {
		variant := column.Variant
		fmt.Fprintf(&text, "- *%s* is %s", variant.Name, kernels[variant.Series].Image())
		if variant.Boot != "" {
			fmt.Fprintf(&text, ", booted with `%s`", variant.Boot)
		}
		text.WriteString("\n")
	}
	return text.String()
}

// Image is the name of the package that the kernel came in.
func (k Kernel) Image() string {
	text, err := os.ReadFile(filepath.Join(k.Dir, "complete"))
	name, _, _ := strings.Cut(string(text), "\n")
	if err != nil || name == "" {
		return "a kernel put there by hand"
	}
	return name
}
