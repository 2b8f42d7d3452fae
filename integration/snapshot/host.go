package snapshot

import "time"

// Host is all that must be as before: settings and affinities.
type Host struct {
	Settings Snapshot
	threads  Threads
	extra    []string
}

// TakeHost reads it, with the extra files.
func TakeHost(extra ...string) Host {
	return Host{Settings: Take(extra...), threads: TakeThreads(), extra: extra}
}

// Changed lists what is different now. It looks twice: an interrupt that moves with its next arrival reads for a moment
// as it was before the last write (seen on Linux 6.18). What is wrong stays wrong.
func (h Host) Changed() []string {
	look := func() []string {
		return append(Diff(h.Settings, Take(h.extra...)), h.threads.Moved(TakeThreads())...)
	}
	if len(look()) == 0 {
		return nil
	}
	time.Sleep(50 * time.Millisecond)
	return look()
}
