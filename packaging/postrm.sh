#!/bin/sh
# What engines and administrators have written stays: `rtshield uninstall` is for an engine's configuration.
set -e
if [ "$1" = purge ]; then # deb: remove keeps whether the unit is enabled, for the next install
	for link in /etc/systemd/system/*.wants/rtshield-reconcile.service; do
		[ ! -L "$link" ] || rm "$link"
		[ ! -d "${link%/*}" ] || rmdir --ignore-fail-on-non-empty "${link%/*}"
	done
fi
case $1 in
purge | 0) [ -e /run/rtshield/ledger.json ] || rm -rf /run/rtshield ;;
esac
[ ! -d /run/systemd/system ] || ! command -v systemctl >/dev/null 2>&1 || systemctl daemon-reload
