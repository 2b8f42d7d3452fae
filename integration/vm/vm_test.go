package vm

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rtshield/rtshield/integration/testhost"
)

var (
	only     = flag.String("vm.only", os.Getenv("RTSHIELD_VM_ONLY"), "boot only the columns with these names, separated by commas")
	run      = flag.String("vm.run", os.Getenv("RTSHIELD_VM_RUN"), "run only these tests in each VM, as go test -run")
	seed     = flag.Uint64("vm.seed", 1, "play the random test with this seed; 0 for a fresh one, which it prints")
	steps    = flag.Int("vm.steps", 60, "how many steps the random test has")
	with     = flag.String("vm.with", "runc", "play the random test with this delegate: runc, or crun, which is faster")
	parallel = flag.Int("vm.parallel", runtime.NumCPU(), "boot so many VMs at once")
	limit    = flag.Duration("vm.limit", BootLimit, "the time for each VM, on a machine that has better things to do")
	keep     = flag.Bool("vm.keep", false, "keep the logs of every VM, not only of those that failed")
	output   = flag.String("vm.table", os.Getenv("RTSHIELD_VM_TABLE"), "write the page with the table to this file, if all VMs ran all tests and none failed")
)

func TestEveryKernelHoldsTheShield(t *testing.T) {
	if os.Getenv("RTSHIELD_VM") != "1" {
		t.Skip("boots real-time kernels in VMs for minutes: run by `make vmtest`")
	}
	irqbalance, err := Irqbalance("../..")
	if err != nil {
		t.Fatal(err)
	}
	drive(t, Matrix, KernelsPage, Payload{
		Rtshield: testhost.Rtshield(t), Guest: buildGuest(t, "./guest"), Loop: testhost.Loop(t), Named: testhost.Named(t), Run: *run, Irqbalance: irqbalance,
		Game: fmt.Sprintf("-seed %d -steps %d -with %s", *seed, *steps, *with),
		Delegates: map[string]string{
			"/usr/local/bin/runc": testhost.Runc(t), "/usr/sbin/runc": "/usr/sbin/runc", "/usr/bin/crun": "/usr/bin/crun",
			"/usr/sbin/criu":     "/usr/sbin/criu", // runc's checkpoint, which calls GNU's tar
			"/usr/local/bin/tar": "/bin/tar",
		},
	})
}

func TestSystemdHostHoldsTheShield(t *testing.T) {
	if os.Getenv("RTSHIELD_VM_SYSTEMD") != "1" {
		t.Skip("boots systemd and Docker in VMs for many minutes: run by `make vmtest-systemd`")
	}
	image, err := Image("../..")
	if err != nil {
		t.Fatal(err)
	}
	drive(t, SystemdMatrix, SystemdPage, Payload{
		Rtshield: testhost.Rtshield(t), Guest: buildGuest(t, "./systemd"), Loop: testhost.Loop(t), Named: testhost.Named(t), Run: *run, Image: image,
		Delegates: map[string]string{
			"/usr/local/bin/runc": testhost.Runc(t), "/usr/local/bin/rtshield-plot": testhost.Plotter(t),
			"/guest/rtshield-reconcile.service": "../../packaging/rtshield-reconcile.service",
			"/guest/rtshield-node":              testhost.Installer(t), "/guest/daemonsets.yaml": "../../deploy/base/daemonsets.yaml",
		},
	})
}

// The suites of a host, on a host that has cgroup v2 alone.
func TestTheHostsSuitesHoldOnCgroupV2(t *testing.T) {
	if os.Getenv("RTSHIELD_VM_SUITES") != "1" {
		t.Skip("plays the lives of integration/differential in a VM for many minutes: run by `make vmtest-suites`")
	}
	drive(t, SuiteMatrix, Matter{}, Payload{
		Rtshield: testhost.Rtshield(t), Guest: buildGuest(t, "../differential"), Loop: testhost.Loop(t), Named: testhost.Named(t), Run: *run,
		Delegates: map[string]string{
			"/usr/local/bin/runc": testhost.Runc(t), "/usr/sbin/runc": "/usr/sbin/runc", "/usr/bin/jq": "/usr/bin/jq",
			"/docs/differences.md": "../../docs/differences.md",
		},
	})
}

// A real kubelet, on a host that has cgroup v2 alone.
func TestAKubeletHoldsOnCgroupV2(t *testing.T) {
	if os.Getenv("RTSHIELD_VM_KUBERNETES") != "1" {
		t.Skip("runs a kubelet and its API server in a VM for many minutes: run by `make vmtest-kubernetes`")
	}
	programs := map[string]string{
		"/usr/local/bin/runc": testhost.Runc(t), "/usr/bin/etcd": "/usr/bin/etcd",
		"/cmd/rtshield/main.go": "../../cmd/rtshield/main.go", // by which the suite knows the product's directory
	}
	for _, made := range []struct {
		find  func() (string, error)
		names []string
	}{
		{testhost.FindKubernetes, []string{"kubelet", "kube-apiserver", "kubectl"}},
		{testhost.FindContainerd, []string{"containerd", "containerd-shim-runc-v2", "ctr"}},
	} {
		dir, err := made.find()
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range made.names {
			programs["/usr/local/bin/"+name] = filepath.Join(dir, name)
		}
	}
	if err := filepath.WalkDir("../../deploy", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			programs[strings.TrimPrefix(path, "../..")] = path
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	drive(t, KubernetesMatrix, Matter{}, Payload{
		Rtshield: testhost.Rtshield(t), Guest: buildGuest(t, "../kubernetes"), Loop: testhost.Loop(t), Named: testhost.Named(t), Run: *run,
		Delegates: programs,
	})
}

// drive boots the variants and prints their table.
func drive(t *testing.T, matrix []Variant, matter Matter, payload Payload) {
	t.Helper()
	var err error
	if payload.Processors, err = Processors(t.TempDir()); err != nil {
		t.Fatalf("%v: `make setup` installs acpica-tools", err)
	}
	if payload.Emulator, err = Emulator("../.."); err != nil {
		t.Fatal(err)
	}
	var variants []Variant
	for _, variant := range matrix {
		if *only == "" || slices.Contains(strings.Split(*only, ","), variant.Name) {
			variants = append(variants, variant)
		}
	}
	kernels, err := Kernels("../..", variants)
	if err != nil {
		t.Fatal(err)
	}
	columns := make([]Column, len(variants))
	begun := time.Now()
	// A VM's work is mostly one process after the other: as many VMs as there are CPUs use them all.
	free := make(chan struct{}, min(*parallel, len(variants)))
	var all sync.WaitGroup
	for i, variant := range variants {
		free <- struct{}{}
		all.Go(func() {
			defer func() { <-free }()
			columns[i] = fill(t, kernels[variant.Series], variant, payload)
		})
	}
	all.Wait()
	for _, column := range columns {
		if column.Err != nil || anyFailed(column.Results) {
			t.Fail()
		}
	}
	text := Markdown(columns)
	fmt.Printf("\n%s\n%d VMs in %v\n", text, len(columns), time.Since(begun).Round(time.Second))
	// Columns of different runs would say nothing of any one state of the program.
	if *output != "" && *only == "" && *run == "" && !t.Failed() {
		if err := os.WriteFile(*output, []byte(Page(matter, columns, kernels)), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// maxBoots bounds the VMs of one column, columnLimits their time: they share as many limits of one VM.
const (
	maxBoots     = 8
	columnLimits = 2
)

// fill boots a VM for a column, and others for what the first leaves open: tests that failed, those that did not come to
// run, all if it did not even begin. The logs of VMs in which something failed stay, and their place is named.
func fill(t *testing.T, kernel Kernel, variant Variant, payload Payload) Column {
	column := Column{Variant: variant}
	if payload.Run == "" {
		payload.Run = variant.Run
	}
	end := time.Now().Add(columnLimits * *limit)
	for boots := 1; ; boots++ {
		crashed := boot(t, &column, kernel, payload, min(*limit, time.Until(end)))
		ended := column.Err == nil && !column.Unsure()
		further := column.Err == nil || crashed || errors.Is(column.Err, errCut)
		if ended || !further || boots == maxBoots || time.Until(end) < *limit/10 {
			return column
		}
		payload.Skip = column.Ended()
	}
}

// boot runs one VM and adds what it gave to the column. It says whether the emulator crashed.
func boot(t *testing.T, column *Column, kernel Kernel, payload Payload, limit time.Duration) (crashed bool) {
	var dir string
	if dir, column.Err = os.MkdirTemp("", "rtshield-vm-"); column.Err != nil {
		return false
	}
	initramfs := filepath.Join(dir, "initramfs")
	if column.Err = WriteInitramfs(initramfs, payload, kernel); column.Err != nil {
		return false
	}
	begun, name := time.Now(), column.Variant.Name
	fmt.Printf("progress: VM %s boots\n", name)
	text, err := Boot(t.Context(), kernel, column.Variant, payload, limit, initramfs, dir)
	_ = os.Remove(initramfs)
	results, cut := Convert(text)
	column.Err = errors.Join(cut, err)
	// qemu 7.2 with several emulating threads crashes now and then when a device is unplugged, and loses a race when the
	// kernel patches its own code ("Oops: int3"); see scripts/emulator.sh. That says nothing about rtshield.
	console, _ := os.ReadFile(filepath.Join(dir, "console.log"))
	crashed = errors.Is(err, errCrashed) || bytes.Contains(console, []byte("Oops: int3")) || errors.Is(cut, errNotBegun)
	if crashed {
		column.Early++
		lines := bytes.Split(bytes.TrimSpace(console), []byte("\n"))
		fmt.Printf("progress: VM %s crashed (%v); its last words:\n%s\n", name, column.Err, bytes.Join(lines[max(0, len(lines)-40):], []byte("\n")))
	}
	column.Add(results, crashed)
	failed := 0
	for _, result := range results {
		if result.Verdict == Fail {
			failed++
		}
	}
	logs := ""
	if column.Err != nil || failed > 0 || *keep {
		logs = ", logs in " + dir
	} else {
		_ = os.RemoveAll(dir)
	}
	fmt.Printf("progress: VM %s: %d tests, %d failed, %v%s\n", name, len(results), failed, time.Since(begun).Round(time.Second), logs)
	return crashed
}

// buildGuest compiles a guest's tests. They vet as part of it, since `go vet ./...` does not know their build tag.
func buildGuest(t *testing.T, folder string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "guest.test")
	for _, args := range [][]string{
		{"vet", "-tags", "vmguest", "."},
		{"test", "-c", "-tags", "vmguest", "-trimpath", "-ldflags", "-s -w", "-o", file, "."},
	} {
		cmd := exec.Command("go", args...)
		cmd.Dir = folder // one is a module of its own
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
		}
	}
	return file
}
