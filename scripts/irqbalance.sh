#!/bin/sh
# Fetches Debian's irqbalance, of this machine's release, with the libraries that it needs, for the VMs of integration/vm.
# Kept in a cache, so that only the first run needs the network. Prints the directory: its tree is a file system's.
#
# It is never installed, and must not run on this machine: it would move the interrupts.
set -eu

name=irqbalance
. "$(dirname "$0")/mirror.sh"
suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-sid}")
made=$cache/irqbalance-$suite

if [ ! -e "$made/usr/sbin/irqbalance" ]; then
	workspace
	configure "$suite"
	say "fetching irqbalance of Debian $suite"
	quietly apt-get -q -c "$work/apt.conf" update
	tree=$work/tree
	mkdir -p "$tree"
	# The C library is the machine's own, as the other programs of the VMs have it.
	for package in irqbalance $(depends irqbalance | grep '^lib' | grep -v -e '^libc6$' -e ncurses -e tinfo); do
		unpack "$package" "$tree"
	done
	rm -rf "${made:?}"
	mv "$tree" "$made"
fi
echo "$made"
