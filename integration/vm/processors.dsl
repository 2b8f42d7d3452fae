// What QEMU's tables lack: performance states of the eight processors, so that the kernel's acpi-cpufreq makes policies,
// and a sleep state, so that acpi_idle drives the CPUs' sleep. Nothing answers at the I/O port: a change of frequency is
// written into the void, and the kernel believes it.
//
//     iasl -p processors processors.dsl
DefinitionBlock ("", "SSDT", 2, "RTSHLD", "CPUS", 1)
{
    External (\_SB.CPUS, DeviceObj)
    External (\_SB.CPUS.C000, DeviceObj)
    External (\_SB.CPUS.C001, DeviceObj)
    External (\_SB.CPUS.C002, DeviceObj)
    External (\_SB.CPUS.C003, DeviceObj)
    External (\_SB.CPUS.C004, DeviceObj)
    External (\_SB.CPUS.C005, DeviceObj)
    External (\_SB.CPUS.C006, DeviceObj)
    External (\_SB.CPUS.C007, DeviceObj)

    Scope (\_SB)
    {
        // 16 bits of the unused I/O port 0x07E0, for control and for status.
        Name (RPCT, Package ()
        {
            ResourceTemplate () { Register (SystemIO, 16, 0, 0x07E0) },
            ResourceTemplate () { Register (SystemIO, 16, 0, 0x07E0) }
        })
        // MHz, mW, us of latency twice, control, status.
        Name (RPSS, Package ()
        {
            Package () { 2400, 40000, 10, 10, 0x1800, 0x1800 },
            Package () { 1800, 25000, 10, 10, 0x1200, 0x1200 },
            Package () { 1200, 12000, 10, 10, 0x0C00, 0x0C00 }
        })
        // C1 by HLT, 1 us.
        Name (RCST, Package ()
        {
            1,
            Package () { ResourceTemplate () { Register (FFixedHW, 0, 0, 0) }, 1, 1, 1000 }
        })
    }

    // _PSD: domain, software coordinates all CPUs of it (0xFC), and how many those are. CPUs 0 and 2, and 4 and 6, share
    // a frequency; each other CPU has its own.
    Scope (\_SB.CPUS.C000)
    {
        Method (_PCT) { Return (RPCT) }
        Method (_PSS) { Return (RPSS) }
        Method (_PPC) { Return (0) }
        Method (_CST) { Return (RCST) }
        Name (_PSD, Package () { Package () { 5, 0, 0, 0xFC, 2 } })
    }
    Scope (\_SB.CPUS.C001)
    {
        Method (_PCT) { Return (RPCT) }
        Method (_PSS) { Return (RPSS) }
        Method (_PPC) { Return (0) }
        Method (_CST) { Return (RCST) }
        Name (_PSD, Package () { Package () { 5, 0, 2, 0xFC, 1 } })
    }
    Scope (\_SB.CPUS.C002)
    {
        Method (_PCT) { Return (RPCT) }
        Method (_PSS) { Return (RPSS) }
        Method (_PPC) { Return (0) }
        Method (_CST) { Return (RCST) }
        Name (_PSD, Package () { Package () { 5, 0, 0, 0xFC, 2 } })
    }
    Scope (\_SB.CPUS.C003)
    {
        Method (_PCT) { Return (RPCT) }
        Method (_PSS) { Return (RPSS) }
        Method (_PPC) { Return (0) }
        Method (_CST) { Return (RCST) }
        Name (_PSD, Package () { Package () { 5, 0, 3, 0xFC, 1 } })
    }
    Scope (\_SB.CPUS.C004)
    {
        Method (_PCT) { Return (RPCT) }
        Method (_PSS) { Return (RPSS) }
        Method (_PPC) { Return (0) }
        Method (_CST) { Return (RCST) }
        Name (_PSD, Package () { Package () { 5, 0, 1, 0xFC, 2 } })
    }
    Scope (\_SB.CPUS.C005)
    {
        Method (_PCT) { Return (RPCT) }
        Method (_PSS) { Return (RPSS) }
        Method (_PPC) { Return (0) }
        Method (_CST) { Return (RCST) }
        Name (_PSD, Package () { Package () { 5, 0, 4, 0xFC, 1 } })
    }
    Scope (\_SB.CPUS.C006)
    {
        Method (_PCT) { Return (RPCT) }
        Method (_PSS) { Return (RPSS) }
        Method (_PPC) { Return (0) }
        Method (_CST) { Return (RCST) }
        Name (_PSD, Package () { Package () { 5, 0, 1, 0xFC, 2 } })
    }
    Scope (\_SB.CPUS.C007)
    {
        Method (_PCT) { Return (RPCT) }
        Method (_PSS) { Return (RPSS) }
        Method (_PPC) { Return (0) }
        Method (_CST) { Return (RCST) }
        Name (_PSD, Package () { Package () { 5, 0, 5, 0xFC, 1 } })
    }
}
