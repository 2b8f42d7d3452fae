// Package admission_test asks a real kube-apiserver, to which deploy/ was applied, who may do what. It needs no node, and changes
// nothing of the host.
package admission_test

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"

	"github.com/rtshield/rtshield/integration/kubernetes/cluster"
)

func init() { runtime.LockOSThread() } // the cluster ends with the thread that started it

var api *cluster.ControlPlane

func TestMain(m *testing.M) {
	code, err := withControlPlane(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "integration/kubernetes/admission:", err)
		code = 1
	}
	os.Exit(code)
}

func withControlPlane(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "k8sadmission-")
	if err != nil {
		return 0, err
	}
	api, err = cluster.StartControlPlane(dir)
	if err == nil {
		err = api.ApplyDeploy()
	}
	if err == nil {
		code = m.Run()
	}
	return code, errors.Join(err, api.Stop(), os.RemoveAll(dir))
}
