package shield

import (
	"fmt"
	"testing"

	"k8s.io/utils/cpuset"
)

// BenchmarkDecide: 512 CPUs, 200 of its 256 cores granted in no order, and one more container. The goal is 5 ms.
func BenchmarkDecide(b *testing.B) {
	topo, layout := read(b, "epyc-512")
	classes := BuiltinClasses()
	fifo := classes["fifo"]
	fifo.MaxCPUs = topo.Online.Size()
	classes["fifo"] = fifo
	ledger := &Ledger{}
	for i := range 200 {
		core := topo.Cores[1+i*101%255]
		ledger.Grants = append(ledger.Grants, Grant{
			Key: Key{ID: fmt.Sprint(i)}, Name: fmt.Sprint("web-", i), SMT: SMTIsolate,
			CPUs: CPUsOf(cpuset.New(core.List()[0])), Idle: CPUsOf(cpuset.New(core.List()[1])),
		})
	}
	for _, c := range []struct{ name, cpus, smt, numa string }{
		{"one CPU", "1", "isolate", "prefer"}, {"two threads", "2", "require", "single"}, {"eight, spread", "8", "isolate", "any"}, {"50 cores over both nodes", "50", "isolate", "prefer"}, {"60 threads", "60", "prefer", "prefer"},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := Decide(classes, layout, Host{Topology: topo}, ledger, asks("x", "cpus", c.cpus, "smt", c.smt, "numa", c.numa)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
