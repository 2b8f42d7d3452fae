// Package guest holds the tests that run in the VMs of integration/vm, against the real rtshield and delegates. They
// have the build tag vmguest and refuse to run anywhere else: they take the whole machine.
package guest
