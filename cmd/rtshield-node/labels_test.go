package main

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rtshield/rtshield/internal/node"
)

// server plays the API server, and notes what it is asked.
type server struct {
	*httptest.Server
	account string
	patches []map[string]any
	refuse  string
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{account: t.TempDir()}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if want := "PATCH /api/v1/nodes/n1 application/merge-patch+json Bearer secret"; strings.Join([]string{
			r.Method, r.URL.Path, r.Header.Get("Content-Type"), r.Header.Get("Authorization")}, " ") != want {
			t.Errorf("%s %s, %v", r.Method, r.URL, r.Header)
		}
		if s.refuse != "" {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, s.refuse)
			return
		}
		var patch struct {
			Metadata struct {
				Labels map[string]any `json:"labels"`
			} `json:"metadata"`
		}
		if err := json.Unmarshal(body, &patch); err != nil {
			t.Errorf("%v: %s", err, body)
		}
		s.patches = append(s.patches, patch.Metadata.Labels)
	}))
	t.Cleanup(s.Close)
	bundle := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	for name, text := range map[string]string{"ca.crt": string(bundle), "token": "secret\n"} {
		if err := os.WriteFile(filepath.Join(s.account, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestLabelsArePatchedWhereTheyDiffer(t *testing.T) {
	s := newServer(t)
	a, err := newAPI(s.URL, "n1", s.account)
	if err != nil {
		t.Fatal(err)
	}
	tell := func(labels node.Labels) {
		t.Helper()
		if err := a.tell(context.Background(), labels); err != nil {
			t.Fatal(err)
		}
	}
	tell(node.Labels{node.Ready: "true", node.FreeCPUs: "3", node.Level: ""})
	tell(node.Labels{node.Ready: "true", node.FreeCPUs: "3", node.Level: ""})
	tell(node.Labels{node.Ready: "true", node.FreeCPUs: "2", node.Level: "cpuset"})
	a.since = a.since.Add(-again - time.Second)
	tell(node.Labels{node.Ready: "true"})
	tell(node.Labels{node.Ready: ""})
	want := []map[string]any{
		{"rtshield.io/ready": "true", "rtshield.io/free-cpus": "3", "rtshield.io/level": nil},
		{"rtshield.io/free-cpus": "2", "rtshield.io/level": "cpuset"},
		{"rtshield.io/ready": "true"},
		{"rtshield.io/ready": nil},
	}
	if !reflect.DeepEqual(s.patches, want) {
		t.Errorf("%v, want %v", s.patches, want)
	}
}

func TestWhatWasRefusedIsSaidAndToldAgain(t *testing.T) {
	s := newServer(t)
	a, err := newAPI(s.URL, "n1", s.account)
	if err != nil {
		t.Fatal(err)
	}
	s.refuse = `{"kind": "Status", "message": "nodes \"n1\" is forbidden"}`
	if err := a.tell(context.Background(), node.Labels{node.Ready: "true"}); err == nil || err.Error() != `label the node: 403 Forbidden: nodes "n1" is forbidden` {
		t.Errorf("%v", err)
	}
	s.refuse = ""
	if err := a.tell(context.Background(), node.Labels{node.Ready: "true"}); err != nil || len(s.patches) != 1 {
		t.Errorf("%v, %v", err, s.patches)
	}
}

func TestAMistakeIsOneLine(t *testing.T) {
	t.Setenv("NODE_NAME", "")
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "run"), 0o755); err != nil {
		t.Fatal(err)
	}
	for words, want := range map[string]string{
		"run now":             `run takes no argument, got "now"`,
		"run":                 "NODE_NAME or KUBERNETES_SERVICE_HOST is not set",
		"run --labels=some":   "--labels some: expected auto, api, nfd or none",
		"install":             "which engine does the kubelet use?",
		"install --engine=k8": "--engine k8: expected containerd, crio or docker",
	} {
		argv := strings.Fields("rtshield-node " + words)
		argv = append(argv[:2], append([]string{"--root", root}, argv[2:]...)...)
		if err := app().Run(argv); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", words, err)
		}
	}
}
