package main

import (
	"reflect"
	"strings"
	"testing"
)

// What go 1.26 prints for a package with a parent test, a skip and a failure, and
// for one that does not build.
const stream = `{"Action":"start","Package":"a"}
{"Action":"run","Package":"a","Test":"TestTable"}
{"Action":"output","Package":"a","Test":"TestTable","Output":"progress: VM 6.12: 3 tests\n"}
{"Action":"run","Package":"a","Test":"TestTable/one"}
{"Action":"pass","Package":"a","Test":"TestTable/one"}
{"Action":"run","Package":"a","Test":"TestTable/two"}
{"Action":"output","Package":"a","Test":"TestTable/two","Output":"    a_test.go:9: two is wrong\n"}
{"Action":"fail","Package":"a","Test":"TestTable/two"}
{"Action":"fail","Package":"a","Test":"TestTable"}
{"Action":"run","Package":"a","Test":"TestVM"}
{"Action":"output","Package":"a","Test":"TestVM","Output":"    a_test.go:20: no qemu here\n"}
{"Action":"skip","Package":"a","Test":"TestVM"}
{"Action":"output","Package":"a","Output":"FAIL\ta\t0.1s\n"}
{"Action":"fail","Package":"a"}
{"ImportPath":"b","Action":"build-output","Output":"b.go:1: syntax error\n"}
{"ImportPath":"b","Action":"build-fail"}
{"Action":"output","Package":"b","Output":"FAIL\tb [build failed]\n"}
{"Action":"fail","Package":"b","FailedBuild":"b"}
{"Action":"output","Package":"c","Output":"?   \tc\t[no test files]\n"}
{"Action":"skip","Package":"c"}
`

func TestSummary(t *testing.T) {
	var out strings.Builder
	s := newSummary(&out)
	if err := s.read(strings.NewReader(stream)); err != nil {
		t.Fatal(err)
	}
	s.close()
	if !strings.HasPrefix(out.String(), "VM 6.12: 3 tests\n") {
		t.Errorf("progress is not said at once:\n%s", out.String())
	}
	for _, want := range []string{
		"two is wrong",
		"b.go:1: syntax error",
		"skipped: a TestVM: no qemu here\n",
		"failed: a TestTable/two\nfailed: b\n",
		"rtshield: 1 tests passed, 2 failed, 1 skipped\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
}

func TestSplit(t *testing.T) {
	got := split([]string{"-race", "--", "-p", "1", "-timeout", "20m", "./a", "./b"})
	want := [][]string{{"-p", "1", "-timeout", "20m", "./a", "./b"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("a run without packages must go: got %v, want %v", got, want)
	}
}
