#!/bin/sh
# Builds the root file system of the VM with systemd, Docker and irqbalance: Debian trixie in an ext4 image, by
# debootstrap. Kept in a cache, so that only the first run needs the network. Prints the image's path.
#
# Packages come from this machine's own Debian mirror. Nothing on this machine is changed: debootstrap works in mount and
# process namespaces of its own, and mkfs.ext4 fills the image without mounting it.
set -eu

name=systemd-image
. "$(dirname "$0")/mirror.sh"

suite=trixie
packages="systemd systemd-sysv dbus udev docker.io docker-cli runc crun irqbalance busybox-static iproute2 kmod procps rt-tests"
# What the tests do not need and an emulated CPU would take seconds for, or what would change settings by itself:
# irqbalance is started by its test.
disabled="irqbalance.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer
e2scrub_reap.service fstrim.timer systemd-pstore.service getty@.service"
image=$cache/systemd/$suite.ext4
recipe="$suite: $(cksum <"$0")"

build() {
	[ "$(id -u)" -eq 0 ] || die "must run as root: debootstrap makes device files and changes owners"
	for program in debootstrap mkfs.ext4 unshare; do
		command -v "$program" >/dev/null 2>&1 || die "no $program: make setup installs it"
	done
	mirror
	tree=$work/tree
	# No service is started in it.
	mkdir -p "$tree/usr/sbin"
	printf '#!/bin/sh\nexit 101\n' >"$tree/usr/sbin/policy-rc.d"
	chmod 0755 "$work" "$tree/usr/sbin/policy-rc.d"
	say "installing Debian $suite: $packages"
	quietly unshare --mount --pid --fork --kill-child debootstrap --variant=minbase --keyring="$keyring" \
		--include="$(echo "$packages" | tr ' ' ',')" "$suite" "$tree" "$uri"
	for unit in $disabled; do
		find "$tree/etc/systemd/system" -name "$unit" -type l -delete
	done
	furnish
	prune
	rm -rf "${image:?}" "$image.recipe"
	mkdir -p "${image%/*}"
	# Room for what Docker unpacks and for the journal. No journal of its own: each boot begins with this image.
	quietly mkfs.ext4 -q -O ^has_journal -m 0 -d "$tree" "$work/image" "$(($(du -sm "$tree" | cut -f 1) + 400))M"
	mv "$work/image" "$image"
	echo "$recipe" >"$image.recipe"
}

furnish() {
	echo vm >"$tree/etc/hostname"
	echo 127.0.0.1 localhost vm >"$tree/etc/hosts"
	# Not empty: the boot would be a first boot, with all that systemd does then.
	echo 0123456789abcdef0123456789abcdef >"$tree/etc/machine-id"
	: >"$tree/etc/fstab"
	rm -f "$tree/etc/resolv.conf"
}

prune() {
	rm -rf "$tree"/var/cache/apt/* "$tree"/var/lib/apt/lists/* "$tree"/var/cache/debconf/* "$tree"/var/log/* \
		"$tree"/usr/share/doc/* "$tree"/usr/share/man/* "$tree"/usr/share/info/* "$tree"/usr/share/locale/* \
		"$tree/usr/sbin/policy-rc.d"
}

if [ ! -e "$image" ] || ! grep -qsxF "$recipe" "$image.recipe"; then
	workspace
	build
fi
echo "$image"
