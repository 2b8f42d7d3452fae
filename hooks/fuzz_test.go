package hooks

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// FuzzState: runc writes a state with the specification's type, and we read what that says.
func FuzzState(f *testing.F) {
	for _, text := range []string{
		`{"ociVersion":"1.3.0","id":"web","status":"creating","pid":42,"bundle":"/b","annotations":{"a":"b"}}`,
		`{"id":"web","status":"stopped","bundle":"/b"}`, `{"id":""}`, `{"id":"x","pid":-1}`, `{"id":"x","pid":1e9}`, `{"ID":"x","Pid":7}`, `null`, `[]`, ``, `{"id":7}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var want specs.State
		wantErr := json.NewDecoder(bytes.NewReader(data)).Decode(&want)
		got, err := readState(bytes.NewReader(data))
		switch {
		case err != nil && wantErr == nil && want.ID != "":
			t.Errorf("%q: %v", data, err)
		case err == nil && got.ID == "":
			t.Errorf("%q is read as %+v", data, got)
		case err == nil && wantErr == nil && (got.ID != want.ID || got.Pid != want.Pid):
			t.Errorf("%q is read as %+v, want %+v", data, got, want)
		}
	})
}
