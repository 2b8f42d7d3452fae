package delegate

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
)

func TestVersion(t *testing.T) {
	dir := realDir(t)
	tests := map[string]struct {
		script, stdout, stderr string
		exit                   int
	}{
		"usual":      {`echo "runc version 9"; echo "spec: 1"`, "runc version 9\nspec: 1\nrtshield version 1\n", "", 0},
		"no newline": {`printf "crun 1"`, "crun 1\nrtshield version 1\n", "", 0},
		"silent":     {``, "rtshield version 1\n", "", 0},
		"arguments":  {`echo "$0 $*"`, dir + "/arguments --debug -v\nrtshield version 1\n", "", 0},
		"failing":    {`echo no >&2; exit 3`, "rtshield version 1\n", "no\n", 3},
		"killed":     {`kill -9 $$`, "rtshield version 1\n", "", 1},
	}
	for name, tt := range tests {
		path := program(t, filepath.Join(dir, strings.ReplaceAll(name, " ", "")), tt.script)
		var stdout, stderr bytes.Buffer
		exit := version(&stdout, &stderr, path, []string{"rtshield", "--debug", "-v"}, "rtshield version 1")
		if exit != tt.exit || stdout.String() != tt.stdout || stderr.String() != tt.stderr {
			t.Errorf("%s: exit %d, stdout %q, stderr %q", name, exit, stdout.String(), stderr.String())
		}
	}
	var stdout, stderr bytes.Buffer
	exit := version(&stdout, &stderr, "/nosuch", nil, "rtshield version 1")
	if exit != 1 || stdout.String() != "rtshield version 1\n" || !strings.HasPrefix(stderr.String(), "rtshield: ask /nosuch for its version: ") {
		t.Errorf("no delegate: exit %d, stdout %q, stderr %q", exit, stdout.String(), stderr.String())
	}
}
