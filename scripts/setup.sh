#!/bin/sh
# Brings a fresh Debian with Go to where build, demo and tests work. Safe to run
# any number of times: what is there is left alone, and then nothing is asked of
# the network either.
set -eu

say() { echo "setup: $*"; }
die() { echo "$*" >&2; exit 1; }

root=$(cd "$(dirname "$0")/.." && pwd)

if [ "$(id -u)" -ne 0 ]; then
	die "must run as root: rtshield sets CPU sets, interrupt affinities and scheduling policies; try again from a root shell"
fi

# --- Go -----------------------------------------------------------------------
want=$(awk '$1 == "go" { print $2; exit }' "$root/go.mod")
if ! command -v go >/dev/null 2>&1; then
	hint=""
	[ -x /usr/local/go/bin/go ] && hint=" (/usr/local/go/bin/go exists: PATH=\$PATH:/usr/local/go/bin)"
	die "go is not in PATH: Go $want or newer is needed$hint"
fi
# Asked inside the module, since Go 1.21 and newer fetch the toolchain that
# go.mod names; an older one answers with its own version, and one that may not
# fetch fails.
have=$(cd "$root" && go env GOVERSION 2>/dev/null) || have=""
have=${have#go}
have=${have%% *}
oldest=$(printf '%s\n%s\n' "$want" "${have:-0}" | sort -V | head -n 1)
if [ "$oldest" != "$want" ]; then
	die "Go $want or newer is needed, PATH has $(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null || go version)"
fi

# --- packages -----------------------------------------------------------------
missing=""
need() { # need PACKAGE TEST...: PACKAGE is missing unless TEST succeeds
	package=$1
	shift
	"$@" >/dev/null 2>&1 || missing="$missing $package"
}
installed() { dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed; }

# By command where one will do, so that Docker's own packages, or a runc built by
# hand, count: apt would otherwise put Debian's in their place.
need gcc command -v gcc
need pkg-config command -v pkg-config
need libc6-dev test -e /usr/include/stdlib.h
need libseccomp-dev pkg-config --exists libseccomp
need docker.io command -v dockerd
need runc command -v runc
need crun command -v crun
need criu command -v criu
need podman command -v podman
need conmon command -v conmon
need strace command -v strace
need jq command -v jq
need zsh command -v zsh
need fish command -v fish
need qemu-system-x86 command -v qemu-system-x86_64
need xz-utils command -v xz
need acpica-tools command -v iasl
need debootstrap command -v debootstrap
need e2fsprogs command -v mkfs.ext4
need rt-tests command -v cyclictest
need man-db command -v man
need systemd command -v systemd-analyze
need rpm command -v rpm
need busybox-static installed busybox-static
need ca-certificates test -e /etc/ssl/certs/ca-certificates.crt
for package in "$@"; do # what only some targets of the Makefile take
	need "$package" installed "$package"
done

if [ -z "$missing" ]; then
	say "all there"
	exit 0
fi
command -v apt-get >/dev/null 2>&1 ||
	die "missing, and this is no Debian, so install by hand:$missing"

# docker.io would start dockerd on a host with systemd, which changes iptables
# and cgroups. policy-rc.d is Debian's way to say no; one that is there already
# belongs to somebody else and stays.
log=$(mktemp)
policy=/usr/sbin/policy-rc.d
ours=""
cleanup() {
	rm -f "$log"
	[ -z "$ours" ] || rm -f "$policy"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
if [ ! -e "$policy" ]; then
	ours=yes
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 0755 "$policy"
fi

quietly() { # the output matters only when it went wrong
	"$@" >"$log" 2>&1 || {
		cat "$log" >&2
		die "setup: this failed: $*"
	}
}
export DEBIAN_FRONTEND=noninteractive
say "apt-get update"
quietly apt-get -q update
say "installing:$missing (no service is started)"
# shellcheck disable=SC2086 # a list of package names, meant to be split
quietly apt-get -q install -y --no-install-recommends $missing
say "done"
