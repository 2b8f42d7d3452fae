package host

import "testing"

func TestMask(t *testing.T) {
	for _, c := range []struct {
		mask, again string
		list        string
	}{
		{"3", "3", "0-1"},
		{"f0", "f0", "4-7"},
		{"00000000,00000000,00000000,00000003", "3", "0-1"},
		{"80000000,00000001", "80000000,00000001", "0,63"},
		{"1,00000000,00000000", "1,00000000,00000000", "64"},
		{"0", "0", ""},
	} {
		cpus, err := ParseMask(c.mask)
		if err != nil || cpus.String() != c.list {
			t.Errorf("%s: %s %v", c.mask, cpus, err)
		}
		if got := FormatMask(cpus); got != c.again {
			t.Errorf("%s is written %s", c.list, got)
		}
	}
	for _, wrong := range []string{"", "g", "1,,2", "123456789"} {
		if _, err := ParseMask(wrong); err == nil {
			t.Errorf("%q was taken", wrong)
		}
	}
}

func FuzzMask(f *testing.F) {
	f.Add("ff,00000001")
	f.Fuzz(func(t *testing.T, text string) {
		cpus, err := ParseMask(text)
		if err != nil {
			return
		}
		again, err := ParseMask(FormatMask(cpus))
		if err != nil || !again.Equals(cpus) {
			t.Errorf("%q: %s became %s %v", text, cpus, again, err)
		}
	})
}
