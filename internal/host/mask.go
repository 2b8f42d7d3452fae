package host

import (
	"fmt"
	"strconv"
	"strings"

	"k8s.io/utils/cpuset"
)

// ParseMask reads the kernel's mask format: hexadecimal words of 32 CPUs, highest first, separated by commas.
func ParseMask(text string) (cpuset.CPUSet, error) {
	words := strings.Split(strings.TrimSpace(text), ",")
	var cpus []int
	for i, word := range words {
		bits, err := strconv.ParseUint(word, 16, 32)
		if err != nil {
			return cpuset.CPUSet{}, fmt.Errorf("%q is not a CPU mask", text)
		}
		base := 32 * (len(words) - 1 - i)
		for bit := range 32 {
			if bits>>bit&1 == 1 {
				cpus = append(cpus, base+bit)
			}
		}
	}
	return cpuset.New(cpus...), nil
}

// FormatMask gives the kernel's mask format, without leading zero words.
func FormatMask(cpus cpuset.CPUSet) string {
	list := cpus.List()
	if len(list) == 0 {
		return "0"
	}
	words := make([]uint32, list[len(list)-1]/32+1)
	for _, cpu := range list {
		words[cpu/32] |= 1 << (cpu % 32)
	}
	text := strconv.FormatUint(uint64(words[len(words)-1]), 16)
	for i := len(words) - 2; i >= 0; i-- {
		text += fmt.Sprintf(",%08x", words[i])
	}
	return text
}

// ReadMask reads a file in the mask format.
func (r Root) ReadMask(parts ...string) (cpuset.CPUSet, error) {
	text, err := r.Read(parts...)
	if err != nil {
		return cpuset.CPUSet{}, err
	}
	return ParseMask(text)
}

// ReadList reads a file in the list format, "0-3,8".
func (r Root) ReadList(parts ...string) (cpuset.CPUSet, error) { return r.cpuList(parts...) }
