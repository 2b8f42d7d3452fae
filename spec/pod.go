package spec

import (
	"strings"

	"github.com/rtshield/rtshield/internal/shield"
)

// kubeletPod tells from a container's cgroup which pod of a kubelet it is of, and that pod's QoS class; empty where it is of none.
// Both drivers: /kubepods/burstable/pod<uid>/…, and with systemd's /kubepods.slice/kubepods-burstable.slice/
// kubepods-burstable-pod<uid>.slice/…, where the uid has _ for -. There may be more above (cgroupRoot).
func kubeletPod(cgroup string) (uid, qos string) {
	parts := strings.Split(cgroup, "/")
	for i, part := range parts {
		name, systemd := strings.CutSuffix(part, ".slice")
		if name != "kubepods" && !(systemd && strings.HasSuffix(name, "-kubepods")) {
			continue
		}
		qos, below := shield.Guaranteed, append(parts[i+1:], "", "")
		word := func(part string) string { return part }
		if systemd { // each name repeats the one above
			word = func(part string) string {
				part = strings.TrimPrefix(strings.TrimSuffix(part, ".slice"), name)
				return strings.TrimPrefix(part, "-")
			}
		}
		for class, inPath := range map[string]string{shield.Burstable: "burstable", shield.BestEffort: "besteffort"} {
			if word(below[0]) == inPath {
				qos, below = class, below[1:]
				if systemd {
					name += "-" + inPath
				}
				break
			}
		}
		if uid, found := strings.CutPrefix(word(below[0]), "pod"); found && uid != "" {
			if systemd {
				uid = strings.ReplaceAll(uid, "_", "-")
			}
			return uid, qos
		}
	}
	return "", ""
}
