// Package vm runs rtshield on several real-time kernels: it builds an initramfs with rtshield, its delegates and the
// tests of the folder guest, boots each kernel under qemu, and prints one table, kernel × test. No KVM is needed.
//
// `make vmtest` runs it. A plain `go test` boots nothing.
package vm
