package kubernetes_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/rtshield/rtshield/integration/testhost"
)

// BenchmarkPodStart measures from the pod's creation to its readiness, with runc, with rtshield that has nothing to do, and with a
// shield; in turns, with pods that are the same otherwise. The kubelet looks for containers that have started once a second.
func BenchmarkPodStart(b *testing.B) {
	unchanged(b)
	kinds := []string{"runc", "rtshield", "rtshield-fifo"}
	times := map[string][]time.Duration{}
	for turn := range b.N {
		for i := range kinds {
			kind := kinds[(turn+i)%len(kinds)] // none is always the first after another
			times[kind] = append(times[kind], timedStart(b, kind))
		}
	}
	median := map[string]time.Duration{}
	for _, kind := range kinds {
		slices.Sort(times[kind])
		median[kind] = times[kind][len(times[kind])/2]
		b.Logf("%-14s n=%d median %v, %v to %v", kind, b.N, median[kind], times[kind][0], times[kind][b.N-1])
		b.ReportMetric(float64(median[kind].Milliseconds()), kind+"-ms")
		b.ReportMetric(float64(median[kind])/float64(median["runc"]), kind+"/runc")
	}
	b.ReportMetric(0, "ns/op")
}

func timedStart(b *testing.B, class string) time.Duration {
	b.Helper()
	events, err := node.Watch(pods + "?watch=1&fieldSelector=metadata.name=start")
	if err != nil {
		b.Fatal(err)
	}
	defer events.Close()
	begun := time.Now()
	p := run(b, "start", wish{class: class, containers: []string{container("app", whole, "", testhost.Rest)}})
	defer p.remove()
	over := time.AfterFunc(patience, func() { _ = events.Close() })
	defer over.Stop()
	for decoder := json.NewDecoder(events); ; {
		var event struct{ Object told }
		if err := decoder.Decode(&event); err != nil {
			b.Fatal(fmt.Errorf("%w: the pod is not ready\n%s\n%s", err, p.describe(), node.LastWords()))
		}
		if event.Object.Metadata.UID == p.uid && event.Object.is("Ready") {
			return time.Since(begun).Round(time.Millisecond)
		}
	}
}
