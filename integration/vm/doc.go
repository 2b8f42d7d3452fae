// Package vm runs rtshield on several real-time kernels: it builds an initramfs with rtshield, its delegates and the
// tests of the folder guest, boots each kernel under qemu, and prints one table, kernel × test. No KVM is needed.
//
// A second test boots an image with systemd, Docker and irqbalance, and runs the tests of the folder systemd there.
//
// `make vmtest` and `make vmtest-systemd` run them. A plain `go test` boots nothing.
package vm
