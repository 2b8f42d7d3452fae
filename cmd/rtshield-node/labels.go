package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/rtshield/rtshield/internal/node"
	"github.com/rtshield/rtshield/internal/shield"
)

// teller tells the cluster labels of the node.
type teller interface {
	tell(ctx context.Context, labels node.Labels) error
}

func labeller(c *cli.Context, n node.Node) (teller, error) {
	how := c.String("labels")
	if how == "auto" {
		how = "api"
		if n.HasFeatureDiscovery() {
			how = "nfd"
		}
	}
	switch how {
	case "nfd":
		return features{n}, nil
	case "api":
		return inCluster()
	case "none":
		return nobody{}, nil
	}
	return nil, fmt.Errorf("--labels %s: expected auto, api, nfd or none", how)
}

type nobody struct{}

func (nobody) tell(context.Context, node.Labels) error { return nil }

// features leaves it to Node Feature Discovery.
type features struct{ node.Node }

func (f features) tell(_ context.Context, labels node.Labels) error { return f.WriteFeatures(labels) }

// account is where the kubelet puts what a pod calls the API server with. It renews the token.
const account = "/var/run/secrets/kubernetes.io/serviceaccount"

// api patches the node's labels itself.
type api struct {
	url, account string
	client       *http.Client
	told         node.Labels
	since        time.Time
}

// again is after how long all is told again, also what has not changed: somebody may have taken a label away.
const again = 10 * time.Minute

func inCluster() (*api, error) {
	name, host, port := os.Getenv("NODE_NAME"), os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
	if name == "" || host == "" {
		return nil, errors.New("NODE_NAME or KUBERNETES_SERVICE_HOST is not set: run it as the DaemonSet of deploy/ does, or with --labels=none")
	}
	return newAPI("https://"+net.JoinHostPort(host, port), name, account)
}

func newAPI(server, node, account string) (*api, error) {
	bundle, err := os.ReadFile(filepath.Join(account, "ca.crt"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(bundle) {
		return nil, fmt.Errorf("%s/ca.crt has no certificate", account)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	return &api{url: server + "/api/v1/nodes/" + node, account: account, client: &http.Client{Transport: transport, Timeout: 20 * time.Second}}, nil
}

// tell patches what differs from what it told last.
func (a *api) tell(ctx context.Context, labels node.Labels) error {
	if time.Since(a.since) > again {
		a.told, a.since = node.Labels{}, time.Now()
	}
	patch := map[string]any{}
	for name, value := range labels {
		if told, known := a.told[name]; known && told == value {
			continue
		}
		patch[shield.Domain+"/"+name] = nil
		if value != "" {
			patch[shield.Domain+"/"+name] = value
		}
	}
	if len(patch) == 0 {
		return nil
	}
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": patch}})
	if err != nil {
		return err
	}
	token, err := os.ReadFile(filepath.Join(a.account, "token"))
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPatch, a.url+"?fieldManager=rtshield-node", bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/merge-patch+json")
	request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	answer, err := a.client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		var status struct {
			Message string `json:"message"`
		}
		_ = json.Unmarshal(text, &status) // what is no Status has its code
		return fmt.Errorf("label the node: %s: %s", answer.Status, status.Message)
	}
	maps.Copy(a.told, labels)
	return nil
}
