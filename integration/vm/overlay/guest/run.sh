#!/bin/sh
# The service of the VM's tests. Its output is the second serial line.
word() { # word NAME: the value of NAME=VALUE on the kernel's command line
	tr ' ' '\n' </proc/cmdline | sed -n "s/^$1=//p" | tail -n 1
}

busybox stty raw -F /dev/ttyS1
for device in /sys/class/net/*; do # a network card asks for its interrupts when it is brought up
	ip link set "${device##*/}" up
done
echo "run: $(cut -d ' ' -f 1 /proc/uptime) s after the kernel's start" >/dev/console
cd /guest || exit
echo "=== guest begins"
./guest.test -test.v=test2json -test.timeout "$(word vm.timeout)" ${VM_RUN:+-test.run "$VM_RUN"} ${VM_SKIP:+-test.skip "$VM_SKIP"} 2>&1
status=$?
[ $status = 0 ] || journalctl -b --no-pager -n 1500 >/dev/console
echo "=== guest ends with status $status"
echo "run: done, $(cut -d ' ' -f 1 /proc/uptime) s after the kernel's start" >/dev/console
