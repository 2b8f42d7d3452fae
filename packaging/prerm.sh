#!/bin/sh
# Refuses while a container holds CPUs: nobody could give them back, and its engine could not delete it.
set -e
case $1 in
remove | 0) ;; # deb, rpm
*) exit 0 ;;
esac
rtshield=/usr/bin/rtshield
if [ -x $rtshield ]; then
	$rtshield reconcile >/dev/null 2>&1 || : # gives back what containers left that have ended
	if $rtshield status --prometheus 2>/dev/null | grep -q '^rtshield_container_info{'; then
		echo "rtshield: containers hold CPUs: end them, then remove rtshield (rtshield status names them)" >&2
		exit 1
	fi
fi
[ "$1" = remove ] || ! command -v systemctl >/dev/null 2>&1 || systemctl --no-reload --quiet disable rtshield-reconcile.service
