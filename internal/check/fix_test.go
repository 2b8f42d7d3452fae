package check

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/rtshield/rtshield/internal/host"
)

func TestFixSetsWhatCanBeSetAndLooksAgain(t *testing.T) {
	const thp, clock = "sys/kernel/mm/transparent_hugepage/enabled", "sys/devices/system/clocksource/clocksource0/current_clocksource"
	job := jobOn(t, fit.with(files{thp: "[always] madvise never", clock: "hpet"}))
	dry, err := job.Fix(true)
	if err != nil {
		t.Fatal(err)
	}
	valid(t, dry)
	want := []string{"echo tsc >/" + clock, "echo madvise >/" + thp}
	if got := strings.Join(dry.Fixed, "\n"); got != "would "+strings.Join(want, "\nwould ") || read(t, job.Root, clock) != "hpet" {
		t.Errorf("dry: %s, and the clock is %s", got, read(t, job.Root, clock))
	}
	report, err := job.Fix(false)
	if err != nil {
		t.Fatal(err)
	}
	valid(t, report)
	if !slices.Equal(report.Fixed, want) || read(t, job.Root, clock) != "tsc" || read(t, job.Root, thp) != "madvise" {
		t.Errorf("%q, and the clock is %s", report.Fixed, read(t, job.Root, clock))
	}
	if found := report.finding(t, "clocksource"); found.Mark != Good {
		t.Errorf("after the fix: %s", found.text())
	}
	if again, err := job.Fix(false); err != nil || len(again.Fixed) > 0 {
		t.Errorf("a second time: %q, %v", again.Fixed, err)
	}
}

func read(t *testing.T, root host.Root, path string) string {
	t.Helper()
	text, err := root.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestEachDistributionHasItsOwnWords(t *testing.T) {
	for name, c := range map[string]struct {
		release, install, boot string
		more                   files
	}{
		"debian": {"ID=debian", "apt-get install runc",
			`echo 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX a=1 b"' >/etc/default/grub.d/rtshield.cfg && update-grub`, files{"etc/default/grub": ""}},
		"mint":      {"ID=linuxmint\nID_LIKE=\"ubuntu debian\"", "apt-get install runc", "update-grub", files{"etc/default/grub": ""}},
		"raspberry": {"ID=debian", "apt-get install runc", "boot loader's configuration", nil},
		"rocky":     {"ID=rocky\nID_LIKE=\"rhel centos fedora\"", "dnf install runc", `grubby --update-kernel=ALL --args="a=1 b"`, nil},
		"coreos":    {"ID=fedora", "rpm-ostree install runc", "rpm-ostree kargs --append=a=1 --append=b", files{"run/ostree-booted": ""}},
		"leap":      {"ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"", "zypper install runc", "grub2-mkconfig -o /boot/grub2/grub.cfg", files{"etc/default/grub": ""}},
		"arch":      {"ID=arch", "pacman -S runc", "grub-mkconfig -o /boot/grub/grub.cfg", files{"etc/default/grub": ""}},
		"alpine":    {"ID=alpine", "apk add runc", "boot loader's configuration", nil},
		"none":      {"", "install runc", "boot loader's configuration", nil},
	} {
		d := readDistro(files{"etc/os-release": c.release}.with(c.more).make(t))
		if got := d.install("runc"); got != c.install {
			t.Errorf("%s: %s", name, got)
		}
		if got := d.boot("a=1 b"); !strings.Contains(got, c.boot) || !strings.HasSuffix(got, ", and reboot") {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestWhatIsToBeBootedWithIsOneCommand(t *testing.T) {
	report := look(t, jobOn(t, fit.with(files{
		"proc/version": "Linux version 6.12.1 #1 SMP PREEMPT_DYNAMIC", "boot/config-6.12.107+deb13-rt-amd64": "CONFIG_PREEMPT_NONE=y",
		"proc/irq/25/smp_affinity_list": "2" + readOnly, "sys/kernel/irq/25/actions": "nvme0q3",
	})))
	if report.Boot == nil || report.Boot.Options != "preempt=full isolcpus=managed_irq,1-3" || !strings.Contains(report.Boot.Do, report.Boot.Options) {
		t.Errorf("%+v", report.Boot)
	}
}

func TestAFixThatIsRefusedIsNamed(t *testing.T) {
	done := func(err error) func(host.Root) error { return func(host.Root) error { return err } }
	findings := []Finding{{Fix: "a", fix: done(nil)}, {Fix: "b", fix: done(errors.New("operation not permitted"))}, {Name: "c"}}
	fixed, unfixed := mend("", findings, false)
	if !slices.Equal(fixed, []string{"a"}) || !slices.Equal(unfixed, []string{"b: operation not permitted"}) {
		t.Errorf("%q, %q", fixed, unfixed)
	}
}
