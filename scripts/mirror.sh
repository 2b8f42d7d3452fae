# shellcheck shell=sh
# What the scripts that fetch Debian's packages share, read with `.`: the cache, and the archive that this machine installs
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

configure() { # configure SUITE...: an apt of our own in $work
	mirror
	mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
	: >"$work/sources.list"
	: >"$work/status"
	for suite; do
		echo "deb [signed-by=$keyring] $uri $suite main" >>"$work/sources.list"
	done
	cat >"$work/apt.conf" <<-CONF
		Dir::Etc::sourcelist "$work/sources.list";
		Dir::Etc::sourceparts "/dev/null";
		Dir::Etc::preferencesparts "/dev/null";
		Dir::State::lists "$work/lists";
		Dir::State::status "$work/status";
		Dir::Cache "$work/cache";
		Acquire::Languages "none";
		Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
		Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
		APT::Sandbox::User "root";
	CONF
}

depends() { # depends PACKAGE=VERSION: the names, one a line
	apt-cache -c "$work/apt.conf" show "$1" |
		sed -n 's/^Depends: //p' | head -n 1 | tr ',' '\n' | sed 's/^ *//; s/ (= */=/; s/[ )].*//'
}

unpack() { # unpack PACKAGE TREE
	(cd "$work" && quietly apt-get -q -c "$work/apt.conf" download "$1")
	dpkg-deb -x "$work/${1%%=*}"_*.deb "$2"
	rm -f "$work/${1%%=*}"_*.deb
}
