package argv

import "math"

// kind says how a flag takes its value. Numbers and durations are told apart from text because runc refuses
// a value that does not parse, before it looks at anything else.
type kind uint8

const (
	boolean kind = iota // -x, -x=true; never takes the next argument
	text
	number
	duration
)

type flagDef struct {
	long  string
	short string // the other name, "" if there is none
	kind  kind
}

type verbDef struct {
	name  string
	flags []flagDef
	// How many operands the delegate allows. Where one is a must, the first is the container. runc and crun
	// agree on all that we rewrite.
	min, max int
	// inOrder: flags end at the first operand, because what follows belongs to a command in the container
	// (runc's SkipArgReorder). Everywhere else urfave/cli v1 accepts flags behind the container's name.
	inOrder bool
}

const many = math.MaxInt

// helpFlag is urfave/cli's, added to every verb; --help=false is possible.
var helpFlag = flagDef{"help", "h", boolean}

// The tables are the union of runc 1.1 to 1.5 and crun. A flag that the delegate does not know costs nothing
// here, since the delegate refuses the call; one that we do not know would shift the container's name.
// TestFlagsCoverDelegate compares them with the help of the delegates in use.
// Literals only: this is static data, and no verb pays for it at start-up.

var globalFlags = []flagDef{
	{"debug", "", boolean},
	{"log", "", text},
	{"log-format", "", text},
	{"root", "", text},
	{"systemd-cgroup", "", boolean},
	{"rootless", "", text},
	{"criu", "", text}, // runc 1.1, gone in 1.2
	{"help", "h", boolean},
	{"version", "v", boolean},
	// crun only:
	{"cgroup-manager", "", text},
	{"log-level", "", text},
	{"usage", "?", boolean},
	{"V", "", boolean},
}

var verbs = []verbDef{
	{name: "state", min: 1, max: 1},
	{name: "start", min: 1, max: 1},
	{name: "create", min: 1, max: 1, flags: []flagDef{
		{"bundle", "b", text},
		{"console-socket", "", text},
		{"pidfd-socket", "", text},
		{"pid-file", "", text},
		{"no-pivot", "", boolean},
		{"no-new-keyring", "", boolean},
		{"preserve-fds", "", number},
		{"config", "f", text},         // crun
		{"no-subreaper", "", boolean}, // crun
	}},
	{name: "run", min: 1, max: 1, flags: []flagDef{
		{"bundle", "b", text},
		{"console-socket", "", text},
		{"pidfd-socket", "", text},
		{"detach", "d", boolean},
		{"keep", "", boolean},
		{"pid-file", "", text},
		{"no-subreaper", "", boolean},
		{"no-pivot", "", boolean},
		{"no-new-keyring", "", boolean},
		{"preserve-fds", "", number},
		{"config", "f", text}, // crun
	}},
	{name: "delete", min: 1, max: 1, flags: []flagDef{
		{"force", "f", boolean},
		{"regex", "r", boolean}, // crun
	}},
	{name: "kill", min: 1, max: 2, flags: []flagDef{
		{"all", "a", boolean},   // hidden in runc since 1.2, still sent by containerd
		{"regex", "r", boolean}, // crun
	}},
	{name: "exec", min: 1, max: many, inOrder: true, flags: []flagDef{
		{"console-socket", "", text},
		{"pidfd-socket", "", text},
		{"cwd", "", text},
		{"env", "e", text},
		{"tty", "t", boolean},
		{"user", "u", text},
		{"additional-gids", "g", number},
		{"process", "p", text},
		{"detach", "d", boolean},
		{"pid-file", "", text},
		{"process-label", "", text},
		{"apparmor", "", text},
		{"no-new-privs", "", boolean},
		{"cap", "c", text},
		{"preserve-fds", "", number},
		{"cgroup", "", text},
		{"ignore-paused", "", boolean},
	}},
	{name: "update", min: 1, max: 1, flags: []flagDef{
		{"resources", "r", text},
		{"blkio-weight", "", number},
		{"cpu-period", "", text},
		{"cpu-quota", "", text},
		{"cpu-burst", "", text},
		{"cpu-share", "", text},
		{"cpu-rt-period", "", text},
		{"cpu-rt-runtime", "", text},
		{"cpuset-cpus", "", text},
		{"cpuset-mems", "", text},
		{"cpu-idle", "", text},
		{"kernel-memory", "", text},     // hidden in runc
		{"kernel-memory-tcp", "", text}, // hidden in runc
		{"memory", "", text},
		{"memory-reservation", "", text},
		{"memory-swap", "", text},
		{"pids-limit", "", number},
		{"l3-cache-schema", "", text},
		{"mem-bw-schema", "", text},
	}},
	{name: "restore", min: 1, max: 1, flags: []flagDef{
		{"console-socket", "", text},
		{"image-path", "", text},
		{"work-path", "", text},
		{"tcp-established", "", boolean},
		{"tcp-close", "", boolean}, // crun
		{"ext-unix-sk", "", boolean},
		{"shell-job", "", boolean},
		{"file-locks", "", boolean},
		{"manage-cgroups-mode", "", text},
		{"bundle", "b", text},
		{"detach", "d", boolean},
		{"pid-file", "", text},
		{"no-subreaper", "", boolean},
		{"no-pivot", "", boolean},
		{"empty-ns", "", text},
		{"auto-dedup", "", boolean},
		{"lazy-pages", "", boolean},
		{"lsm-profile", "", text},
		{"lsm-mount-context", "", text},
	}},
	{name: "checkpoint", min: 1, max: 1, flags: []flagDef{
		{"image-path", "", text},
		{"work-path", "", text},
		{"parent-path", "", text},
		{"leave-running", "", boolean},
		{"tcp-established", "", boolean},
		{"tcp-close", "", boolean}, // crun
		{"tcp-skip-in-flight", "", boolean},
		{"link-remap", "", boolean},
		{"ext-unix-sk", "", boolean},
		{"shell-job", "", boolean},
		{"lazy-pages", "", boolean},
		{"status-fd", "", number},
		{"page-server", "", text},
		{"file-locks", "", boolean},
		{"pre-dump", "", boolean},
		{"manage-cgroups-mode", "", text},
		{"network-lock", "", text}, // crun
		{"empty-ns", "", text},
		{"auto-dedup", "", boolean},
	}},
	{name: "ps", min: 1, max: many, inOrder: true, flags: []flagDef{{"format", "f", text}}},
	{name: "events", min: 1, max: 1, flags: []flagDef{{"interval", "", duration}, {"stats", "", boolean}}},
	{name: "pause", min: 1, max: 1},
	{name: "resume", min: 1, max: 1},
	{name: "features"},
	{name: "list", flags: []flagDef{{"format", "f", text}, {"quiet", "q", boolean}}},
	{name: "spec", flags: []flagDef{
		{"bundle", "b", text},
		{"rootless", "", boolean},
		{"file", "f", text}, // crun
	}},
	{name: "mounts", max: many, inOrder: true}, // crun
	{name: "help", max: many},
	{name: "h", max: many},
}

func findVerb(name string) (verbDef, bool) {
	for _, v := range verbs {
		if v.name == name {
			return v, true
		}
	}
	return verbDef{}, false
}

// findFlag gives the position in defs of the flag with this name, either one, or -1.
func findFlag(defs []flagDef, name string) int {
	if name == "" {
		return -1
	}
	for i := range defs {
		if defs[i].long == name || defs[i].short == name {
			return i
		}
	}
	return -1
}
