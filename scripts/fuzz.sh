#!/bin/sh
# Runs every fuzz target for a time, one after the other, and prints a line for each. What one finds is put into its
# package's testdata/fuzz, to be kept there.
#
#   scripts/fuzz.sh 10m [PATTERN]   (or 2000x: so many executions)
set -eu
cd "$(dirname "$0")/.."
time=$1
pattern=${2:-.}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=0
# 5x: a text that is new is made smaller before it is kept, and those of config.json take long.
for target in $(grep -ro --include='*_test.go' '^func Fuzz[A-Za-z]*' . | sed 's|/[^/]*_test.go:func |:|' | sort -u | grep -e "$pattern"); do
	package=${target%%:*}
	name=${target#*:}
	if ${GO:-go} test -run '^$' -fuzz "^$name\$" -fuzztime "$time" -fuzzminimizetime 5x "$package" >"$log" 2>&1; then
		echo "ok    $package $name: $(grep -o 'execs: [0-9]*' "$log" | tail -n 1)"
	elif ! grep -q 'Failing input' "$log" && [ "$(grep -c '^    ' "$log")" = 1 ] && grep -q '^    context deadline exceeded$' "$log"; then
		# Before Go 1.27 go test may take the end of its own time for a failure (golang/go#75804).
		echo "ok    $package $name: $(grep -o 'execs: [0-9]*' "$log" | tail -n 1)"
	else
		echo "FAIL  $package $name"
		cat "$log"
		failed=1
	fi
done
exit $failed
