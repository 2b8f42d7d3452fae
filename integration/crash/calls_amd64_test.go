package crash_test

import "golang.org/x/sys/unix"

func init() {
	for number := range numbersOf(unix.SYS_ARCH_PRCTL, unix.SYS_VFORK) { // thread-local storage; a delegate as a child
		harmless[number] = true
	}
}
