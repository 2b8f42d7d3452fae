#!/bin/busybox sh
# The first process of a VM. Runs twice: in the initramfs, which it copies to a tmpfs because runc cannot pivot_root out
# of an initramfs; then there.
export PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root

if [ ! -e /.switched ]; then
	busybox mkdir -p /proc /new
	busybox mount -t tmpfs -o size=40%,mode=755 root /new
	for name in /*; do
		case $name in
		/new | /proc | /dev) ;;
		*) busybox cp -a "$name" /new/ ;;
		esac
	done
	busybox mkdir -p /new/proc /new/dev
	: >/new/.switched
	exec busybox switch_root /new /init
fi

/bin/busybox --install -s /bin
mkdir -p /proc /sys /dev /run /tmp /root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
mkdir -p /dev/pts /dev/shm
ln -s /proc/self/fd/0 /dev/stdin # crun reads resources there
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=755 run /run
mount -t tmpfs tmp /tmp
hostname vm
# What the emulator's devices hold for good (nvme's unbind, once in a few runs) ends the VM, and not all of its time: the next goes on.
echo 600 >/proc/sys/kernel/hung_task_timeout_secs
echo 1 >/proc/sys/kernel/hung_task_panic
echo "init: $(uname -r), $(cut -d ' ' -f 1 /proc/uptime) s after the kernel's start" >/dev/console

word() { # word NAME: the value of NAME=VALUE on the kernel's command line
	tr ' ' '\n' </proc/cmdline | sed -n "s/^$1=//p" | tail -n 1
}

if [ "$(word vm.cgroup)" = v1 ]; then
	mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
	# All of them: crun refuses a host where cgroup v2 has any controller besides.
	for controller in cpu,cpuacct $(awk '$4 == 1 && $1 !~ /^cpu(acct)?$/ { print $1 }' /proc/cgroups); do
		mkdir "/sys/fs/cgroup/$controller"
		mount -t cgroup -o "$controller" cgroup "/sys/fs/cgroup/$controller" || rmdir "/sys/fs/cgroup/$controller"
	done
	ln -s cpu,cpuacct /sys/fs/cgroup/cpu
	ln -s cpu,cpuacct /sys/fs/cgroup/cpuacct
	mkdir /sys/fs/cgroup/unified
	mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
else
	mount -t cgroup2 cgroup2 /sys/fs/cgroup
	for controller in $(cat /sys/fs/cgroup/cgroup.controllers); do # as systemd does, and each delegate
		echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control
	done
fi 2>/dev/console

while read -r module; do
	case $module in # the tests that are about it load it
	acpi_cpufreq.ko | cpufreq_*.ko) continue ;;
	esac
	insmod "/modules/$module" || echo "init: insmod $module failed"
done </modules/order >/dev/console 2>&1
for device in /sys/class/net/*; do # a network card asks for its interrupts when it is brought up
	ip link set "${device##*/}" up
done >/dev/console 2>&1

# What runc waits for most is RCU's grace periods, and an emulated real-time kernel takes its time with them.
echo 0 >/sys/kernel/rcu_normal
echo 1 >/sys/kernel/rcu_expedited

# Results have a serial line of their own: the kernel's messages would run into them.
stty raw -F /dev/ttyS1 2>/dev/null
# Where a host's suite looks for them; it waits for longer on an emulated CPU.
export RTSHIELD_BIN=/usr/local/bin/rtshield RTSHIELD_TEST_RUNC=/usr/local/bin/runc RTSHIELD_TEST_CONTAINERD=/usr/local/bin \
	RTSHIELD_TEST_KUBERNETES=/usr/local/bin RTSHIELD_TEST_SLOW=10
cd /guest || poweroff -f
{
	echo "=== guest begins"
	./guest.test -test.v=test2json -test.timeout "$(word vm.timeout)" ${VM_RUN:+-test.run "$VM_RUN"} ${VM_SKIP:+-test.skip "$VM_SKIP"} $VM_GAME 2>&1
	echo "=== guest ends with status $?"
} >/dev/ttyS1
echo "init: done, $(cut -d ' ' -f 1 /proc/uptime) s after the kernel's start" >/dev/console
sync
poweroff -f
