#!/bin/busybox sh
# The first process of a VM with systemd: mounts the image, puts what is under test onto it, and makes way for systemd.
/bin/busybox --install -s /bin
mkdir -p /proc /sys /dev /new
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
echo "init: $(uname -r), $(cut -d ' ' -f 1 /proc/uptime) s after the kernel's start" >/dev/console

while read -r module; do
	insmod "/modules/$module" || echo "init: insmod $module failed"
done </modules/order >/dev/console 2>&1

for disk in /sys/block/vd*; do
	[ "$(cat "$disk/serial")" != image ] || mount -t ext4 -o noatime "/dev/${disk##*/}" /new
done
cp -a /overlay/. /new/
ln -s rtshield /new/usr/local/bin/rtshield-fifo

# What runc waits for most is RCU's grace periods, and an emulated real-time kernel takes its time with them.
echo 0 >/sys/kernel/rcu_normal
echo 1 >/sys/kernel/rcu_expedited
echo "init: systemd begins, $(cut -d ' ' -f 1 /proc/uptime) s after the kernel's start" >/dev/console
umount /proc /sys
mount -o move /dev /new/dev
exec switch_root /new /sbin/init
