#!/bin/sh
# Starts nothing. At the first install the distribution's presets say whether the unit is enabled, as for every service
# there: Debian enables, Fedora does not. What an administrator decides after that stays, also over upgrades.
set -e
command -v systemctl >/dev/null 2>&1 || exit 0
case "$1:$2" in
configure: | 1:) systemctl --no-reload --quiet preset rtshield-reconcile.service ;; # deb, rpm
esac
[ ! -d /run/systemd/system ] || systemctl daemon-reload
