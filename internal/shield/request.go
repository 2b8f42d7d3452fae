package shield

// Key names a container: engines' ids are unique only below one state root of the delegate.
type Key struct {
	Root string `json:"root"`
	ID   string `json:"id"`
}

// Request is what one container asks for, as found in its config.json and the name that rtshield was called by.
// Nothing in it has been judged yet.
type Request struct {
	Key
	// Name is what people call the container: the pod's container name, else the id.
	Name string
	// LinkClass is the class in the name rtshield was called by, rtshield-<class>. Empty for plain rtshield.
	LinkClass string
	// Pod is the one that it is of.
	Pod Pod
	// From is engine where its CPUs are the kubelet's choice. Shared: it asks for a class, and has none of its own (Follow).
	From   string
	Shared bool
	// Sandbox is true for the pause container of a pod, which is always ordinary.
	Sandbox bool
	Choices Choices
	// Cgroup is where the delegate will put it, below the mount, such as /docker/4f2a; /system.slice/docker-4f2a.scope
	// with the systemd driver.
	Cgroup string
	// Scheduler is process.scheduler, nil without one.
	Scheduler *Scheduler
	// CPUs and Mems are linux.resources.cpu.cpus and mems as the engine wrote them.
	CPUs, Mems string
	// Quota is linux.resources.cpu.quota, in µs for each Period. Zero and less are none.
	Quota, Period int64
	// Shares is linux.resources.cpu.shares. Zero without.
	Shares uint64
	// Budget is linux.resources.cpu.realtimeRuntime and realtimePeriod. Zero without.
	Budget Budget
	// RTPrio is the hard RLIMIT_RTPRIO of process.rlimits. Zero without.
	RTPrio uint64
	// RTTime is the hard RLIMIT_RTTIME of process.rlimits, in µs. Nil without.
	RTTime *uint64
	// HasRDT: config.json has linux.intelRdt.
	HasRDT bool
	// HugePages are the limits of linux.resources.hugepageLimits, but for "no limit".
	HugePages []HugePages
}

// HugePages is a limit on huge pages of one size.
type HugePages struct {
	// Size is as written, 2MB. PageSize is that in bytes.
	Size            string
	PageSize, Bytes uint64
}

// Scheduler is what process.scheduler of the OCI runtime specification asks for. Times in nanoseconds.
type Scheduler struct {
	// Policy is the specification's name, such as SCHED_FIFO.
	Policy                    string
	Nice                      int
	Priority                  int
	Runtime, Deadline, Period uint64
}

// Budget is a real-time budget of the cgroup v1 cpu controller, in microseconds.
type Budget struct {
	Runtime int64 `json:"runtime"`
	Period  int64 `json:"period"`
}

// realTime gives the policy if it asks for real time; SCHED_OTHER, BATCH and IDLE are ordinary containers' own affair.
func (s *Scheduler) realTime() (Policy, bool) {
	if s == nil {
		return "", false
	}
	switch s.Policy {
	case "SCHED_FIFO":
		return FIFO, true
	case "SCHED_RR":
		return RR, true
	case "SCHED_DEADLINE":
		return Deadline, true
	}
	return "", false
}

// Asks says whether the container asks for a shield at all. Any of our annotations asks, so that one without a class
// is told, not ignored; but for those that bound its CPU time.
func (r Request) Asks() bool {
	if r.Sandbox {
		return false
	}
	_, realTime := r.Scheduler.realTime()
	return r.LinkClass != "" || len(r.Choices) > len(r.Choices.ordinary()) || realTime
}
