#!/bin/sh
# Fetches Debian's real-time kernels for the VMs of integration/vm: for each series a vmlinuz, the modules that the VMs
# load, and the kernel's configuration. Kept in a cache, so that only the first run needs the network. Prints one line a
# kernel: SERIES DIRECTORY.
#
#   scripts/kernels.sh [SERIES...]        default: 6.1 6.12 7.2
#
# Packages come from this machine's own Debian mirror, with its keyring, but through an apt configuration of our own:
# nothing on this machine is installed or changed.
set -eu

name=kernels
. "$(dirname "$0")/mirror.sh"
kernels=$cache/kernels
# Multi-queue block devices, whose interrupts the kernel manages, and network cards, whose interrupts can be moved; and
# overlay, without which runc copies itself for each container; a cpufreq driver, with a governor that is not built in; and
# what CRIU asks for, of sockets and networks, before it does anything.
modules="virtio_pci virtio_blk virtio_net nvme e1000e overlay acpi_cpufreq cpufreq_powersave \
unix_diag inet_diag tcp_diag udp_diag raw_diag netlink_diag af_packet_diag crc32c_generic nf_tables tun veth"
# What mounts the image of systemd-image.sh, in an order of its own: the others need no disk.
disk="crc32c_generic ext4"

suites() { # suites SERIES: where Debian has it
	case $1 in
	6.1) echo bookworm ;;
	6.12) echo trixie ;;
	*) echo forky sid ;;
	esac
}

[ $# -gt 0 ] || set -- 6.1 6.12 7.2
missing=""
for series; do
	grep -qsxF "modules: $modules" "$kernels/$series/complete" && grep -qsxF "disk: $disk" "$kernels/$series/complete" ||
		missing="$missing $series"
done

# module NAME TREE INTO ORDER: the module after those that it depends on; INTO/ORDER says in which order to load them.
# One that is nowhere is built in.
module() {
	file=$(find "$2" -name "$(echo "$1" | sed 's/[-_]/[-_]/g').ko*" | head -n 1)
	if [ -z "$file" ] || grep -qxF "$1.ko" "$3"/order*; then
		return
	fi
	case $file in
	*.xz) xz -dc "$file" >"$3/$1.ko" ;;
	*.zst) zstd -qdc "$file" >"$3/$1.ko" ;;
	*) cp "$file" "$3/$1.ko" ;;
	esac
	for dependency in $(grep -az '^depends=' "$3/$1.ko" | tr -d '\0' | sed 's/^depends=//' | tr ',' ' '); do
		module "$dependency" "$2" "$3" "$4"
	done
	# The recursion has one set of variables: $1 is a parameter and so still ours.
	grep -qxF "$1.ko" "$3"/order* || echo "$1.ko" >>"$3/$4"
}

fetch() { # fetch SERIES
	version=$(apt-cache -c "$work/apt.conf" madison linux-image-rt-amd64 |
		awk -F ' *[|] *' -v series="$1." 'index($2, series) == 1 { print $2 }' | sort -V | tail -n 1)
	[ -n "$version" ] || die "Debian ($(suites "$1")) has no linux-image-rt-amd64 $1 any more"
	image=$(depends "linux-image-rt-amd64=$version" | grep '^linux-image-' | head -n 1)
	say "fetching $image"
	tree=$work/tree-$1
	made=$work/made-$1
	mkdir -p "$tree" "$made"
	unpack "$image" "$tree"
	# Since 7.2 the image has only dependencies: on the kernel, and on its modules.
	for package in $(depends "$image" | grep -E '^linux-(binary|modules|base-image)' || true); do
		unpack "$package" "$tree"
	done
	kernel=$(find "$tree" -name 'vmlinuz*' -type f | head -n 1)
	[ -n "$kernel" ] || die "$image has no vmlinuz, nor has what it depends on"
	cp "$kernel" "$made/vmlinuz"
	config=$(find "$tree" \( -name 'config-*' -o -name config \) -type f | head -n 1)
	[ -z "$config" ] || cp "$config" "$made/config"
	: >"$made/order"
	for module in $modules; do
		module "$module" "$tree" "$made" order
	done
	for module in $disk; do
		module "$module" "$tree" "$made" order-disk
	done
	printf '%s\nmodules: %s\ndisk: %s\n' "$image" "$modules" "$disk" >"$made/complete"
	rm -rf "$tree" "${kernels:?}/$1"
	mv "$made" "$kernels/$1"
}

if [ -n "$missing" ]; then
	command -v apt-get >/dev/null 2>&1 || die "no apt-get here: put vmlinuz, modules, order and order-disk into $kernels/SERIES by hand"
	mkdir -p "$kernels"
	workspace
	wanted=""
	for series in $missing; do
		for suite in $(suites "$series"); do
			case " $wanted " in *" $suite "*) ;; *) wanted="$wanted $suite" ;; esac
		done
	done
	say "reading what Debian has in$wanted"
	# shellcheck disable=SC2086 # words, meant to be split
	configure $wanted
	quietly apt-get -q -c "$work/apt.conf" update
	for series in $missing; do
		fetch "$series"
	done
fi
for series; do
	echo "$series $kernels/$series"
done
