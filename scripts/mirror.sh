# shellcheck shell=sh
# What kernels.sh and systemd-image.sh share, read with `.`: the cache, and the archive that this machine installs
# Debian from. The script that reads it sets name, for its messages, and work, a directory of its own, before `quietly`.
# shellcheck disable=SC2034,SC2154 # set here and used there, and the other way round

cache=${XDG_CACHE_HOME:-$HOME/.cache}/rtshield
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

say() { echo "$name: $*" >&2; }
die() { say "$*"; exit 1; }

quietly() { # the output matters only when it went wrong
	"$@" >"$work/log" 2>&1 || {
		cat "$work/log" >&2
		die "this failed: $*"
	}
}

# workspace makes $work below $cache, for as long as the script runs.
workspace() {
	mkdir -p "$cache"
	work=$(mktemp -d "$cache/.work.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
}

# mirror sets uri to the first archive that this machine installs Debian from.
mirror() {
	uri=$(cat /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list /etc/apt/sources.list 2>/dev/null | awk '
		$1 == "URIs:" { uri = $2 }
		$1 == "Suites:" && $2 !~ /security/ && $2 ~ /^(bookworm|trixie|forky|sid|stable|testing|unstable)/ && uri { print uri; exit }
		$1 == "deb" {
			for (i = 2; $i ~ /^\[/ && $i !~ /\]$/; i++) ; # the options in brackets
			if ($i ~ /^\[/ || $i ~ /\]$/) i++
			if ($i !~ /security/ && $(i + 1) ~ /^(bookworm|trixie|forky|sid|stable|testing|unstable)/) { print $i; exit }
		}')
	[ -n "$uri" ] || die "found no Debian archive in /etc/apt/sources.list or /etc/apt/sources.list.d"
}
