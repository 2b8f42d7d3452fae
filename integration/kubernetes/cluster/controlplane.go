// Package cluster runs a Kubernetes on loopback: etcd and kube-apiserver, and a node with containerd and kubelet. All that it
// writes is in one directory. There is no scheduler and no controller: a pod names its node itself.
package cluster

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/rtshield/rtshield/integration/testhost"
)

// ControlPlane is an API server with its etcd. It needs no root and changes nothing of the host.
type ControlPlane struct {
	// URL is the API server's, Kubeconfig a file with its administrator.
	URL, Kubeconfig string

	dir       string
	programs  string // the directory with kube-apiserver, kubelet and kubectl
	authority *authority
	started   []*process
	admin     http.Client
	nobody    http.Client
}

// StartControlPlane starts one in a directory, and waits until it answers. Stop it, also after an error.
func StartControlPlane(dir string) (*ControlPlane, error) {
	c := &ControlPlane{dir: dir}
	var err error
	if c.programs, err = testhost.FindKubernetes(); err != nil {
		return c, err
	}
	etcd, err := exec.LookPath("etcd")
	if err != nil {
		return c, fmt.Errorf("%w: install etcd-server (make kubernetes)", err)
	}
	ports, err := freePorts(3)
	if err != nil {
		return c, err
	}
	store, peer := "http://127.0.0.1:"+ports[0], "http://127.0.0.1:"+ports[1]
	if err := errors.Join(c.certificates(), c.start("etcd", etcd, "--data-dir="+c.path("etcd"), "--name=one",
		"--listen-client-urls="+store, "--advertise-client-urls="+store, "--listen-peer-urls="+peer,
		"--initial-advertise-peer-urls="+peer, "--initial-cluster=one="+peer)); err != nil {
		return c, err
	}
	c.URL = "https://127.0.0.1:" + ports[2]
	if err := errors.Join(c.writeKubeconfig("admin"), c.connect()); err != nil {
		return c, err
	}
	c.Kubeconfig = c.path("admin.kubeconfig")
	if err := c.start("kube-apiserver", c.Program("kube-apiserver"),
		"--etcd-servers="+store, "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--secure-port="+ports[2],
		"--endpoint-reconciler-type=none", "--service-cluster-ip-range=10.0.0.0/24", "--cert-dir="+c.path(""),
		"--client-ca-file="+c.path("ca.crt"), "--tls-cert-file="+c.path("apiserver.crt"), "--tls-private-key-file="+c.path("apiserver.key"),
		"--kubelet-certificate-authority="+c.path("ca.crt"),
		"--kubelet-client-certificate="+c.path("admin.crt"), "--kubelet-client-key="+c.path("admin.key"),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file="+c.path("tokens.key"), "--service-account-signing-key-file="+c.path("tokens.key"),
		"--anonymous-auth=false", "--authorization-mode=Node,RBAC", "--allow-privileged",
		// The first wants a controller that makes accounts, the second one that takes its taint away.
		"--disable-admission-plugins=ServiceAccount,TaintNodesByCondition"); err != nil {
		return c, err
	}
	return c, c.poll(2*time.Minute, func() error {
		return c.ok(c.Call(http.MethodGet, "/readyz", "", nil))
	})
}

func (c *ControlPlane) path(name string) string { return filepath.Join(c.dir, name) }

// Programs is the directory with kube-apiserver, kubelet and kubectl, Program the path of one.
func (c *ControlPlane) Programs() string           { return c.programs }
func (c *ControlPlane) Program(name string) string { return filepath.Join(c.programs, name) }

func (c *ControlPlane) start(name, program string, args ...string) error {
	p, err := start(c.dir, name, program, args...)
	if err == nil {
		c.started = append(c.started, p)
	}
	return err
}

// poll is testhost.Poll that gives up when something of the cluster's has ended.
func (c *ControlPlane) poll(timeout time.Duration, try func() error) error {
	var ended error
	err := testhost.Poll(timeout, func() error {
		for _, p := range c.started {
			if ended = errors.Join(ended, p.runs()); ended != nil {
				return nil
			}
		}
		return try()
	})
	return errors.Join(ended, err)
}

// Stop ends all of it, the last that was started first.
func (c *ControlPlane) Stop() error {
	var problems []error
	for _, p := range slices.Backward(c.started) {
		problems = append(problems, p.stop(syscall.SIGTERM))
	}
	c.started = nil
	return errors.Join(problems...)
}

func (c *ControlPlane) certificates() (err error) {
	if c.authority, err = newAuthority(c.dir); err != nil {
		return err
	}
	_, err = c.authority.issue("tokens", &x509.Certificate{})
	return errors.Join(err, c.authority.server("apiserver"), c.authority.user("admin", "admin", "system:masters"))
}

// writeKubeconfig writes <user>.kubeconfig, for the certificate of that name.
func (c *ControlPlane) writeKubeconfig(user string) error {
	text := strings.NewReplacer("URL", c.URL, "DIR", c.dir, "USER", user).Replace(`apiVersion: v1
kind: Config
clusters:
  - {name: one, cluster: {server: "URL", certificate-authority: DIR/ca.crt}}
users:
  - {name: USER, user: {client-certificate: DIR/USER.crt, client-key: DIR/USER.key}}
contexts:
  - {name: one, context: {cluster: one, user: USER}}
current-context: one
`)
	return os.WriteFile(c.path(user+".kubeconfig"), []byte(text), 0o600)
}

// connect makes the clients that CallAs uses: of the administrator, and of nobody.
func (c *ControlPlane) connect() error {
	pair, err := tls.LoadX509KeyPair(c.path("admin.crt"), c.path("admin.key"))
	if err != nil {
		return err
	}
	text, err := os.ReadFile(c.path("ca.crt"))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	c.admin.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}}
	c.nobody.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	return nil
}

// Call is one request to the API server, by its administrator. The body may be YAML.
func (c *ControlPlane) Call(method, path, contentType string, body []byte) (int, []byte, error) {
	return c.CallAs("", method, path, contentType, body)
}

// CallAs is Call by whom a token names.
func (c *ControlPlane) CallAs(token, method, path, contentType string, body []byte) (int, []byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	answer, err := c.send(ctx, token, method, path, contentType, body)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, text, err
}

// Make makes an object, and gives it as the API server tells it.
func (c *ControlPlane) Make(path, text string) ([]byte, error) {
	status, answer, err := c.Call(http.MethodPost, path, "application/yaml", []byte(text))
	return answer, c.ok(status, answer, err)
}

// Watch gives a stream of what happens to the objects of a path, one JSON text after the other. Close it.
func (c *ControlPlane) Watch(path string) (io.ReadCloser, error) {
	answer, err := c.send(context.Background(), "", http.MethodGet, path, "", nil)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		_ = answer.Body.Close()
		return nil, fmt.Errorf("%s: %s", path, answer.Status)
	}
	return answer.Body, nil
}

func (c *ControlPlane) send(ctx context.Context, token, method, path, contentType string, body []byte) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	if token == "" {
		return c.admin.Do(request)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	return c.nobody.Do(request)
}

// ok makes an error of a Call that did not go well.
func (c *ControlPlane) ok(status int, answer []byte, err error) error {
	if err == nil && status/100 != 2 {
		err = fmt.Errorf("the API server says %d: %s", status, answer)
	}
	return err
}

// Kubectl runs kubectl as the administrator, and gives what it prints.
func (c *ControlPlane) Kubectl(args ...string) (string, error) {
	cmd := exec.Command(c.Program("kubectl"), append([]string{"--kubeconfig=" + c.Kubeconfig, "--cache-dir=" + c.path("cache")}, args...)...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, errs.String())
	}
	return string(out), err
}

// ApplyDeploy applies deploy/, as a cluster of containerd nodes does.
func (c *ControlPlane) ApplyDeploy() error {
	root, err := testhost.Root()
	if err != nil {
		return err
	}
	_, err = c.Kubectl("apply", "-k", filepath.Join(root, "deploy/overlays/containerd"))
	return err
}

// freePorts gives ports of loopback that nobody listens on.
func freePorts(count int) (ports []string, err error) {
	for range count {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer listener.Close()
		_, port, _ := net.SplitHostPort(listener.Addr().String())
		ports = append(ports, port)
	}
	return ports, nil
}
