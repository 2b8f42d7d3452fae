package vm

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Kernel is one of scripts/kernels.sh.
type Kernel struct {
	// Series is such as 6.12.
	Series string
	// Dir holds vmlinuz, modules, and their order.
	Dir string
}

// Kernels fetches those of the series that are not in the cache yet.
func Kernels(module string, variants []Variant) (map[string]Kernel, error) {
	var series []string
	for _, variant := range variants {
		if !slices.Contains(series, variant.Series) {
			series = append(series, variant.Series)
		}
	}
	out, err := script(module, "kernels.sh", series...)
	if err != nil {
		return nil, err
	}
	kernels := map[string]Kernel{}
	for line := range strings.Lines(out) {
		if series, dir, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			kernels[series] = Kernel{series, dir}
		}
	}
	return kernels, nil
}

// Image builds the root file system with systemd, unless it is in the cache.
func Image(module string) (string, error) {
	out, err := script(module, "systemd-image.sh")
	return strings.TrimSpace(out), err
}

// Emulator gives the qemu to use, which is fetched unless it is installed or in the cache.
func Emulator(module string) (string, error) {
	out, err := script(module, "emulator.sh")
	return strings.TrimSpace(out), err
}

// Irqbalance fetches the program with its libraries, unless it is in the cache.
func Irqbalance(module string) (string, error) {
	out, err := script(module, "irqbalance.sh")
	return strings.TrimSpace(out), err
}

func script(module, name string, args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(module, "scripts", name), args...)
	var stdout bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%v: %w", cmd.Args, err)
	}
	return stdout.String(), nil
}
