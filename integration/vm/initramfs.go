package vm

import (
	"bufio"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

//go:embed init.sh
var initScript []byte

// Payload is what a VM runs, by paths of the host.
type Payload struct {
	// Rtshield is the program under test, Guest the test binary, Loop the busy loop of integration/hog.
	Rtshield, Guest, Loop string
	// Delegates holds the runtimes by their paths in the guest.
	Delegates map[string]string
	// Processors is an ACPI table for the VM itself, see Processors.
	Processors string
	// Run restricts the tests, as `go test -run` does.
	Run string
	// Seed is that of the random test, 0 for a fresh one.
	Seed uint64
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
	script := strings.Replace(string(initScript), "cd /guest", fmt.Sprintf("VM_RUN='%s' VM_SEED=%d\ncd /guest", payload.Run, payload.Seed), 1)
	a.file("/init", 0o755, []byte(script))
	a.copy("/bin/busybox", Busybox)
	a.copy("/usr/local/bin/rtshield", payload.Rtshield)
	a.copy("/usr/local/bin/loop", payload.Loop)
	a.copy("/guest/guest.test", payload.Guest)
	a.file("/etc/passwd", 0o644, []byte("root:x:0:0:root:/root:/bin/sh\n"))
	a.file("/etc/group", 0o644, []byte("root:x:0:\n"))
	libraries := map[string]bool{}
	for guest, host := range payload.Delegates {
		a.copy(guest, host)
		needs, err := sharedLibraries(host)
		if err != nil {
			return err
		}
		for _, library := range needs {
			libraries[library] = true
		}
	}
	for library := range libraries {
		a.copy(library, library) // os.ReadFile follows the links that these names are
	}
	order, err := os.ReadFile(filepath.Join(kernel.Dir, "order"))
	if err != nil {
		return err
	}
	a.file("/modules/order", 0o644, order)
	for _, module := range strings.Fields(string(order)) {
		a.copy("/modules/"+module, filepath.Join(kernel.Dir, module))
	}
	return errors.Join(a.close(), w.Flush())
}

// library is a line of ldd: "name => path (address)", or "path (address)" for the loader.
var library = regexp.MustCompile(`(?m)^\s+(?:\S+ => )?(/\S+) \(0x`)

func sharedLibraries(program string) ([]string, error) {
	out, err := exec.Command("ldd", program).CombinedOutput()
	if err != nil {
		if strings.Contains(string(out), "not a dynamic executable") {
			return nil, nil
		}
		return nil, fmt.Errorf("ldd %s: %w: %s", program, err, out)
	}
	return parseLdd(string(out)), nil
}

func parseLdd(text string) []string {
	var paths []string
	for _, match := range library.FindAllStringSubmatch(text, -1) {
		paths = append(paths, match[1])
	}
	return paths
}
