package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rtshield/rtshield/internal/latency"
)

// progress is a bar on a terminal, and nothing elsewhere.
type progress struct {
	w     *os.File
	round time.Duration
	tell  chan string
	done  chan struct{}
}

func newProgress(o latency.Options, w *os.File) *progress {
	if _, err := unix.IoctlGetTermios(int(w.Fd()), unix.TCGETS); err != nil {
		return &progress{}
	}
	return &progress{w: w, round: o.Length}
}

// begin is told that a round begins, with how many are over. Within a round the bar goes on by the clock.
func (p *progress) begin(what string, over, all int) {
	if p.w == nil {
		return
	}
	p.stop()
	p.done = make(chan struct{})
	ended := make(chan string)
	p.tell = ended
	started := time.Now()
	go func(done <-chan struct{}) {
		defer close(ended)
		for tick := time.NewTicker(500 * time.Millisecond); ; {
			passed := min(time.Since(started), p.round)
			fmt.Fprintf(p.w, "\r\x1b[K%s", bar(what, over, all, passed, p.round))
			select {
			case <-tick.C:
			case <-done:
				tick.Stop()
				return
			}
		}
	}(p.done)
}

func (p *progress) stop() {
	if p.done != nil {
		close(p.done)
		<-p.tell
		p.done = nil
	}
}

func (p *progress) end() {
	if p.w != nil {
		p.stop()
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

// bar is one line: how much is over, what runs, and how long the rest takes.
func bar(what string, over, all int, passed, round time.Duration) string {
	const columns = 30
	whole := time.Duration(all) * round
	past := time.Duration(over)*round + passed
	full := int(past * columns / whole)
	return fmt.Sprintf("[%s%s] %d of %d: %s, %v left", strings.Repeat("#", full), strings.Repeat("-", columns-full),
		over+1, all, what, (whole - past).Round(time.Second))
}
