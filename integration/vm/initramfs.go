package vm

import (
	"bufio"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

//go:embed init.sh
var initScript []byte

//go:embed systemd.sh
var systemdScript []byte

// overlay is what the image of systemd does not have in every VM: the tests' service, and Docker's configuration.
//
//go:embed overlay
var overlay embed.FS

// Payload is what a VM runs, by paths of the host.
type Payload struct {
	// Rtshield is the program under test, Guest the test binary, Loop the busy loop of integration/hog,
	// Named the program of integration/threads.
	Rtshield, Guest, Loop, Named string
	// Delegates holds the runtimes, what they call, and other files of tests, by their paths in the guest.
	Delegates map[string]string
	// Emulator is the qemu that the VM runs in.
	Emulator string
	// Processors is an ACPI table for the VM itself, see Processors.
	Processors string
	// Irqbalance is a tree that has the program with libraries, or "".
	Irqbalance string
	// Run restricts the tests, as `go test -run` does.
	Run string
	// Skip names tests, without "Test", that other VMs have ended.
	Skip []string
	// Game are the guest's flags for its random test.
	Game string
	// Image is a root file system with systemd. Without it, the initramfs is all there is.
	Image string
}

// Busybox is Debian's static one: all of the guest's other programs.
const Busybox = "/bin/busybox"

// WriteInitramfs makes the initramfs for one kernel in file.
func WriteInitramfs(file string, payload Payload, kernel Kernel) (err error) {
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	w := bufio.NewWriterSize(out, 1<<20)
	a := newArchive(w)
	if payload.Image == "" {
		err = payload.alone(a, kernel)
	} else {
		err = payload.over(a, kernel)
	}
	return errors.Join(err, a.close(), w.Flush())
}

// alone makes an initramfs that the VM stays in.
func (p Payload) alone(a *archive, kernel Kernel) error {
	a.file("/init", 0o755, p.script(initScript))
	a.copy("/bin/busybox", Busybox)
	a.file("/etc/passwd", 0o644, []byte("root:x:0:0:root:/root:/bin/sh\n"))
	a.file("/etc/group", 0o644, []byte("root:x:0:\n"))
	a.file("/etc/hosts", 0o644, []byte("127.0.0.1 localhost\n")) // containerd gives pods copies of these two
	a.file("/etc/resolv.conf", 0o644, nil)
	return errors.Join(p.programs(a, ""), modules(a, kernel, "order"))
}

// over makes an initramfs that mounts the image, with what to put onto it in a folder of its own.
func (p Payload) over(a *archive, kernel Kernel) error {
	a.file("/init", 0o755, systemdScript)
	a.copy("/bin/busybox", Busybox)
	err := fs.WalkDir(overlay, "overlay", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := overlay.ReadFile(name)
		mode := 0o644
		if strings.HasSuffix(name, ".sh") { // an embedded file has no mode of its own
			mode = 0o755
			data = p.script(data)
		}
		a.file("/"+name, mode, data)
		return err
	})
	return errors.Join(err, p.programs(a, "/overlay"), modules(a, kernel, "order", "order-disk"))
}

// script tells one that runs the tests which.
func (p Payload) script(text []byte) []byte {
	skip := ""
	if len(p.Skip) > 0 {
		skip = "^Test(" + strings.Join(p.Skip, "|") + ")$"
	}
	return []byte(strings.Replace(string(text), "cd /guest", fmt.Sprintf("VM_RUN='%s' VM_SKIP='%s' VM_GAME='%s'\ncd /guest", p.Run, skip, p.Game), 1))
}

// programs puts what is under test below a directory.
func (p Payload) programs(a *archive, below string) error {
	a.copy(below+"/usr/local/bin/rtshield", p.Rtshield)
	a.copy(below+"/guest/guest.test", p.Guest)
	a.copy(below+"/usr/local/bin/loop", p.Loop)
	a.copy(below+"/usr/local/bin/named", p.Named)
	if p.Image != "" {
		for guest, host := range p.Delegates {
			a.copy(below+guest, host)
		}
		return nil // the image has libraries, and irqbalance
	}
	libraries := map[string]string{}
	for guest, host := range p.Delegates {
		a.copy(guest, host)
		if err := sharedLibraries(host, "", libraries); err != nil {
			return err
		}
	}
	if p.Irqbalance != "" {
		program := filepath.Join(p.Irqbalance, "usr/sbin/irqbalance")
		a.copy("/usr/sbin/irqbalance", program)
		if err := sharedLibraries(program, p.Irqbalance, libraries); err != nil {
			return err
		}
	}
	for guest, host := range libraries {
		a.copy(guest, host) // os.ReadFile follows the links that these names are
	}
	return nil
}

// modules puts those of the lists into /modules, and the order in which to load them into /modules/order.
func modules(a *archive, kernel Kernel, lists ...string) error {
	var order []string
	for _, list := range lists {
		text, err := os.ReadFile(filepath.Join(kernel.Dir, list))
		if err != nil {
			return err
		}
		order = append(order, strings.Fields(string(text))...)
	}
	for _, module := range order {
		a.copy("/modules/"+module, filepath.Join(kernel.Dir, module))
	}
	a.file("/modules/order", 0o644, []byte(strings.Join(order, "\n")+"\n"))
	return nil
}

// library is a line of ldd: "name => path (address)", or "path (address)" for the loader.
var library = regexp.MustCompile(`(?m)^\s+(?:\S+ => )?(/\S+) \(0x`)

// sharedLibraries adds those of a program by their paths in the guest. Those in tree, if it is not "", come first.
func sharedLibraries(program, tree string, libraries map[string]string) error {
	cmd := exec.Command("ldd", program)
	if tree != "" {
		dirs, _ := filepath.Glob(filepath.Join(tree, "lib/*-linux-gnu*"))
		more, _ := filepath.Glob(filepath.Join(tree, "usr/lib/*-linux-gnu*"))
		cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join(append(dirs, more...), ":"))
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		if strings.Contains(string(out), "not a dynamic executable") {
			return nil
		}
		return fmt.Errorf("ldd %s: %w: %s", program, err, out)
	}
	if strings.Contains(string(out), "not found") {
		return fmt.Errorf("ldd %s: %s", program, out)
	}
	for _, library := range parseLdd(string(out)) {
		libraries[strings.TrimPrefix(library, tree)] = library
	}
	return nil
}

func parseLdd(text string) []string {
	var paths []string
	for _, match := range library.FindAllStringSubmatch(text, -1) {
		paths = append(paths, match[1])
	}
	return paths
}
