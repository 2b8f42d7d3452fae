package check

import (
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/rtshield/rtshield/internal/host"
)

// distro knows the words of this distribution for what a finding advises.
type distro struct {
	// name is for people.
	name string
	// kin is its own ID and those that it is like (os-release(5)).
	kin []string
	// grub: its boot menu is made from /etc/default/grub. image: an ostree, whose options rpm-ostree keeps.
	grub, image bool
}

func readDistro(root host.Root) distro {
	text, err := root.Read("etc/os-release")
	if err != nil {
		text, _ = root.Read("usr/lib/os-release")
	}
	values := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[name] = strings.Trim(value, `"'`)
	}
	there := func(path string) bool {
		_, err := os.Stat(root.Path(path))
		return err == nil
	}
	d := distro{name: values["PRETTY_NAME"], kin: append([]string{values["ID"]}, strings.Fields(values["ID_LIKE"])...)}
	d.grub, d.image = there("etc/default/grub"), there("run/ostree-booted")
	if d.name == "" {
		d.name = "unknown distribution"
	}
	return d
}

func (d distro) is(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return slices.Contains(d.kin, name) })
}

// install is the command that installs a package.
func (d distro) install(name string) string {
	switch {
	case d.image:
		return "rpm-ostree install " + name
	case d.is("debian", "ubuntu"):
		return "apt-get install " + name
	case d.is("fedora", "rhel"):
		return "dnf install " + name
	case d.is("suse", "opensuse", "sles"):
		return "zypper install " + name
	case d.is("arch"):
		return "pacman -S " + name
	case d.is("alpine"):
		return "apk add " + name
	}
	return "install " + name
}

// realTimeKernel says how to get one.
func (d distro) realTimeKernel() string {
	switch {
	case d.image:
	case d.kin[0] == "ubuntu":
		return "pro enable realtime-kernel, and reboot"
	case d.is("debian") && (runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64"):
		return "apt-get install linux-image-rt-" + runtime.GOARCH + ", and reboot into it"
	case d.is("rhel"):
		return "dnf install kernel-rt (repository rt or nfv), and reboot into it"
	}
	return "boot a kernel that is built with CONFIG_PREEMPT_RT"
}

// boot says how options get onto the kernel's command line.
func (d distro) boot(options string) string {
	const sed = `sed -i 's/^GRUB_CMDLINE_LINUX="/&`
	switch {
	case d.image:
		return "rpm-ostree kargs --append=" + strings.Join(strings.Fields(options), " --append=") + ", and reboot"
	case d.is("fedora", "rhel"):
		return `grubby --update-kernel=ALL --args="` + options + `", and reboot`
	case !d.grub:
		return "add " + options + " to the kernel's command line in the boot loader's configuration, and reboot"
	case d.is("debian", "ubuntu"):
		return `mkdir -p /etc/default/grub.d && echo 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX ` + options +
			`"' >/etc/default/grub.d/rtshield.cfg && update-grub, and reboot`
	case d.is("suse", "opensuse", "sles"):
		return sed + options + ` /' /etc/default/grub && grub2-mkconfig -o /boot/grub2/grub.cfg, and reboot`
	}
	return sed + options + ` /' /etc/default/grub && grub-mkconfig -o /boot/grub/grub.cfg, and reboot`
}

// bootAll puts together what the findings would boot with: one command, since a second would undo what the first has written.
func (d distro) bootAll(findings []Finding) *Boot {
	var options []string
	for _, finding := range findings {
		if finding.Boot != "" && !slices.Contains(options, finding.Boot) {
			options = append(options, finding.Boot)
		}
	}
	if len(options) == 0 {
		return nil
	}
	all := strings.Join(options, " ")
	return &Boot{Options: all, Do: d.boot(all)}
}

// rtTests is the package with cyclictest and hwlatdetect.
func (d distro) rtTests() string {
	if d.is("fedora", "rhel") {
		return "realtime-tests"
	}
	return "rt-tests"
}

func (d distro) dockerPackage() string {
	if d.is("debian", "ubuntu") {
		return "docker.io"
	}
	if d.is("fedora", "rhel") {
		return "podman"
	}
	return "docker"
}
