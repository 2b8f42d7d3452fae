// Package systemd holds the tests that run in the VM with systemd, Docker and irqbalance.
package systemd
