package kubelet

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rtshield/rtshield/internal/host"
	"github.com/rtshield/rtshield/internal/shield"
)

// kubeadm's, with what docs/kubernetes.md adds, and whatever else such files hold.
const written = `# by hand
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous:
    enabled: false
  x509:
    clientCAFile: "/etc/kubernetes/pki/ca.crt"
clusterDNS:
- 10.96.0.10
cpuManagerPolicy: static   # whole CPUs
"cpuManagerPolicyOptions":
  full-pcpus-only: "true"
  # a comment
  'strict-cpu-reservation': 'false'
evictionHard: {memory.available: "100Mi"}
reservedSystemCPUs: "0-1,16-17"
systemReserved:
    memory: 1Gi
    cpu: 500m
kubeReserved: {}
logging:
  flushFrequency: 0
  options: |
    cpuManagerPolicy: none
topologyManagerPolicy: single-numa-node
topologyManagerScope: pod
memoryManagerPolicy: Static
shutdownGracePeriod: 0s
`

func TestTheConfigurationIsReadAsItIsWritten(t *testing.T) {
	inJSON := `{"kind":"KubeletConfiguration","cpuManagerPolicy":"static","cpuManagerPolicyOptions":{"full-pcpus-only":"true"},"reservedSystemCPUs":"0-1,16-17","systemReserved":{"cpu":"500m"},"topologyManagerPolicy":"single-numa-node","topologyManagerScope":"pod","memoryManagerPolicy":"Static","clusterDNS":["10.96.0.10"],"kubeReserved":null}`
	for _, text := range []string{written, inJSON, strings.ReplaceAll(written, "\n", "\r\n")} {
		config, err := ParseConfig([]byte(text))
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if config.CPUManagerPolicy != "static" || config.TopologyManagerPolicy != "single-numa-node" || config.TopologyManagerScope != "pod" ||
			config.MemoryManagerPolicy != "Static" || config.Reserved.String() != "0-1,16-17" || !config.ReservesTime ||
			!config.Option("full-pcpus-only") || config.Option("strict-cpu-reservation") || config.Option("align-by-socket") {
			t.Errorf("%+v", config)
		}
	}
	if config, err := ParseConfig([]byte("kind: KubeletConfiguration\nkubeReserved:\n  cpu: \"0\"\n")); err != nil || config.ReservesTime || config.CPUManagerPolicy != "" {
		t.Errorf("%+v, %v", config, err)
	}
}

// What could be meant in another way is told, with its line; what is not ours may be written in any.
func TestAKeyOfOursThatIsWrittenInAnotherWayIsTold(t *testing.T) {
	for text, want := range map[string]string{
		"a: 1\ncpuManagerPolicy: *policy\n":                             "line 2",
		"cpuManagerPolicy: |\n  static\n":                               "line 1",
		"cpuManagerPolicy: \"static\n":                                  "a quote is open",
		"cpuManagerPolicyOptions: {full-pcpus-only: \"true\"}\n":        "line 1",
		"cpuManagerPolicyOptions:\n  ? full-pcpus-only\n":               "line 2",
		"cpuManagerPolicy: none\nb: 2\ncpuManagerPolicy: static\n":      "line 3: it stands twice",
		"reservedSystemCPUs: first\n":                                   "reservedSystemCPUs",
		"kind: KubeProxyConfiguration\n":                                "kind is KubeProxyConfiguration",
		"kind: KubeletConfiguration\n---\nkind: KubeletConfiguration\n": "line 3: it stands twice",
		`{"cpuManagerPolicyOptions":"x"}`:                               "cpuManagerPolicyOptions is x",
		`{"cpuManagerPolicy":{}}`:                                       "cpuManagerPolicy is",
		"{cpuManagerPolicy: static}":                                    "invalid character",
		"cpuManagerPolicy static\n":                                     "line 1",
	} {
		if config, err := ParseConfig([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v; want %q", text, config, err, want)
		}
	}
	for _, text := range []string{"", "---\n", "a: &x\n  b: *x\n- c\n? d\n'e\n", "other:\n  cpuManagerPolicy: |\n"} {
		if config, err := ParseConfig([]byte(text)); err != nil || config.CPUManagerPolicy != "" {
			t.Errorf("%q: %+v, %v", text, config, err)
		}
	}
}

func TestAConfigurationThatIsNotThereIsNone(t *testing.T) {
	root := host.Root(t.TempDir())
	if config, err := LoadConfig(root, shield.DefaultKubelet); config != nil || err != nil {
		t.Errorf("%+v, %v", config, err)
	}
	file := root.Path(shield.DefaultKubelet, ConfigFile)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("cpuManagerPolicy: &a static\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(root, ""); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("%v", err)
	}
	if node, err := Load(root, "/elsewhere"); err != nil || node != (Node{}) {
		t.Errorf("%+v, %v", node, err)
	}
	if _, err := LoadConfig(root, shield.DefaultKubelet); err == nil || !strings.Contains(err.Error(), "/var/lib/kubelet/config.yaml: line 1") {
		t.Errorf("%v", err)
	}
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte(written))
	f.Add([]byte(`{"cpuManagerPolicy":"static"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if config, err := ParseConfig(data); (config == nil) != (err != nil) {
			t.Errorf("%q: %+v, %v", data, config, err)
		}
	})
}
