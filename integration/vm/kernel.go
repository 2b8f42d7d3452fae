package vm

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Kernel is one of scripts/kernels.sh.
type Kernel struct {
	// Series is such as 6.12.
	Series string
	// Dir holds vmlinuz, modules, and their order.
	Dir string
}

// Kernels fetches what is not in the cache yet.
func Kernels(module string) (map[string]Kernel, error) {
	cmd := exec.Command(filepath.Join(module, "scripts", "kernels.sh"))
	var stdout bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%v: %w", cmd.Args, err)
	}
	kernels := map[string]Kernel{}
	for line := range strings.Lines(stdout.String()) {
		if series, dir, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			kernels[series] = Kernel{series, dir}
		}
	}
	return kernels, nil
}
