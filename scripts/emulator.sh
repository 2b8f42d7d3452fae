#!/bin/sh
# Prints the qemu-system-x86_64 that the VMs of integration/vm run in.
#
# That of Debian 12, 7.2, at times goes on with code that the kernel has just patched ("Oops: int3"): on a machine with two
# busy CPUs every second or third boot ended so, with 10.0 from Debian's backports none did. So where the installed one is
# older than 10, the one of backports is fetched, with the libraries of the installed one. It is never installed itself.
# Kept in a cache, so that only the first run needs the network.
set -eu

name=emulator
. "$(dirname "$0")/mirror.sh"
enough=10
installed=$(command -v qemu-system-x86_64) || die "qemu-system-x86_64 is not in PATH: \`make setup\` installs it"
version=$("$installed" --version | sed -n 's/^QEMU emulator version \([0-9]*\).*/\1/p')
suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-sid}")-backports
made=$cache/emulator-$suite

if [ "${version:-0}" -ge "$enough" ]; then
	echo "$installed"
	exit 0
fi
fetch() {
	workspace
	configure "$suite"
	say "fetching qemu of Debian $suite"
	quietly apt-get -q -c "$work/apt.conf" update
	tree=$work/tree
	mkdir -p "$tree"
	for package in qemu-system-x86 qemu-system-data seabios; do
		unpack "$package" "$tree"
	done
	# What it does not find beside it, such as the network cards' ROMs, is where the installed one has it.
	cat >"$tree/run" <<-'RUN'
		#!/bin/sh
		share=${0%/*}/usr/share
		exec "${0%/*}/usr/bin/qemu-system-x86_64" -L "$share/qemu" -L "$share/seabios" -L /usr/share/qemu "$@"
	RUN
	chmod 0755 "$tree/run"
	quietly "$tree/run" --version # it finds its libraries
	rm -rf "${made:?}"
	mv "$tree" "$made"
}

if [ ! -e "$made/run" ] && ! (fetch); then
	say "so the VMs run in the installed qemu $version: those that it crashes are booted again"
	echo "$installed"
	exit 0
fi
echo "$made/run"
