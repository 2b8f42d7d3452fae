package procevents

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"
)

// What Linux 6.18 sent on x86, a field of proc_event each: headers, what, cpu, timestamp, data.
const (
	header  = "4c0000000300000000000000000000000100000001000000000000000000000028000000"
	padding = "000000000000000000000000"
)

func TestEventsAreReadAsTheKernelWritesThem(t *testing.T) {
	for text, want := range map[string]Event{
		"01000000 01000000 0102030405060708 9d130000 9d130000 ce130000 a5130000": {What: Fork, TID: 0x13ce, PID: 0x13a5, Parent: 0x139d},
		"02000000 01000000 0102030405060708 ce130000 ce130000" + padding:         {What: Exec, TID: 0x13ce, PID: 0x13ce},
		"00020000 01000000 0102030405060708 ce130000 a5130000 72656e616d656400":  {What: Comm, TID: 0x13ce, PID: 0x13a5},
		"00000080 01000000 0102030405060708 ce130000 a5130000" + padding:         {What: Exit, TID: 0x13ce, PID: 0x13a5},
		"00000000 ffffffff 0102030405060708 00000000 00000000" + padding:         {}, // the answer to a listener
		"04000000 01000000 0102030405060708 ce130000 a5130000" + padding:         {}, // a change of uid
	} {
		data, err := hex.DecodeString(header + strings.ReplaceAll(text, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		got, ok := parse(data)
		if want.What != 0 {
			want.At = 0x0807060504030201 * time.Nanosecond
		}
		if ok != (want.What != 0) || ok && got != want {
			t.Errorf("%s: %+v, %v", text, got, ok)
		}
		if _, ok := parse(data[:proc+8]); ok {
			t.Errorf("%s: half of it is taken", text)
		}
	}
}
