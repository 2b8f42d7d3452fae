package runtime

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/rtshield/rtshield/runtime/argv"
)

const prefix = "rtshield: "

// Report tells err to the engine and to a person: as an error line in the --log file, of which containerd and
// Docker show the last one, and as one line on w, which stands for stderr. Never on stdout, where `state` has
// its JSON.
func Report(inv argv.Invocation, w io.Writer, err error) {
	if err == nil {
		return
	}
	msg := message(err)
	log(inv, logrus.ErrorLevel, msg)
	_, _ = fmt.Fprintln(w, msg)
}

// message is err on one line: containerd takes one line of JSON for one event, and people read the first.
func message(err error) string {
	var parts []string
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSpace(line); line != "" {
			parts = append(parts, line)
		}
	}
	msg := strings.Join(parts, "; ")
	for strings.HasPrefix(msg, prefix) {
		msg = strings.TrimPrefix(msg, prefix)
	}
	return prefix + msg
}

// log writes one line the way runc does. A log that cannot be written is no reason to fail: there is stderr.
func log(inv argv.Invocation, level logrus.Level, msg string) {
	path := logFile(inv.Log)
	if path == "" {
		return
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND|os.O_SYNC, 0o644)
	if err != nil {
		return
	}
	defer func() { _ = f.Close() }()

	logger := logrus.New()
	logger.SetOutput(f) // the text format looks whether this is a terminal
	if inv.LogFormat == "json" {
		logger.SetFormatter(new(logrus.JSONFormatter))
	}
	entry := logrus.NewEntry(logger)
	entry.Time, entry.Level, entry.Message = time.Now(), level, msg
	line, err := entry.Bytes()
	if err != nil {
		return
	}
	// One write, so that lines of processes that share the file do not mix; and not through the logger, which
	// would complain on stderr.
	_, _ = f.Write(line)
}

// logFile is the file that --log means, "" for none. crun, and so an engine made for it, also knows schemes.
func logFile(log string) string {
	switch scheme, rest, _ := strings.Cut(log, ":"); scheme {
	case "file":
		return rest
	case "journald", "syslog":
		return ""
	}
	return log
}
