// Package kubernetes_test leads pods through a real kubelet, whose containerd's runtime handlers are rtshield. Every test compares
// the host with what it was, and so does the suite after the cluster.
package kubernetes_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/rtshield/rtshield/integration/kubernetes/cluster"
	"github.com/rtshield/rtshield/integration/snapshot"
	"github.com/rtshield/rtshield/integration/testhost"
)

func init() { runtime.LockOSThread() } // the cluster ends with the thread that started it

// node is the one cluster of all tests.
var node *cluster.Cluster

func TestMain(m *testing.M) { os.Exit(withCluster(m)) }

func withCluster(m *testing.M) (code int) {
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, "integration/kubernetes:", err)
		return 1
	}
	if os.Geteuid() != 0 {
		return fail(fmt.Errorf("%s", testhost.NotRoot))
	}
	if err := cluster.ClearLeft(); err != nil {
		return fail(err)
	}
	before := takeHost()
	var err error
	if node, err = cluster.Start(); err == nil {
		err = prepare()
	}
	if err == nil {
		code = m.Run()
	} else {
		code = fail(err)
		if node != nil {
			code = fail(fmt.Errorf("%s", node.LastWords()))
		}
	}
	if err := node.Stop(); err != nil {
		code = fail(err)
	}
	if lines := before.changed(); len(lines) > 0 {
		code = fail(fmt.Errorf("the host is not as it was before the cluster:\n  %s", strings.Join(lines, "\n  ")))
	}
	return code
}

// host is what must be as before: settings, mounts, and what the kubelet sets in the kernel.
type host struct {
	settings snapshot.Snapshot
	mounts   []byte
}

func takeHost() host {
	mounts, _ := os.ReadFile("/proc/self/mounts")
	return host{snapshot.Take("/proc/sys/vm/*", "/proc/sys/kernel/panic*", "/proc/sys/kernel/keys/*"), mounts}
}

func (h host) changed() []string {
	now := takeHost()
	lines := snapshot.Diff(h.settings, now.settings)
	if string(h.mounts) != string(now.mounts) {
		lines = append(lines, fmt.Sprintf("mounts were\n%s, are\n%s", h.mounts, now.mounts))
	}
	return lines
}

// space is the namespace of the pods, which may use every RuntimeClass of ours.
const space = "robots"

// prepare makes it.
func prepare() error {
	labels := "{"
	for _, name := range cluster.Handlers {
		labels += fmt.Sprintf("allow.rtshield.io/%s: \"true\", ", name)
	}
	for path, text := range map[string]string{
		"/api/v1/namespaces": "{apiVersion: v1, kind: Namespace, metadata: {name: " + space + ", labels: " + labels + "}}}",
		// Pods of runc's have a RuntimeClass, too: the paths of both differ in the runtime alone.
		"/apis/node.k8s.io/v1/runtimeclasses": "{apiVersion: node.k8s.io/v1, kind: RuntimeClass, metadata: {name: runc}, handler: runc}",
	} {
		if _, err := node.Make(path, text); err != nil {
			return err
		}
	}
	return firstPods()
}
