"""Probes of the host: cores, memory, clock, permission for real-time priority."""

from __future__ import annotations

import re

from onboard_vla.app.doctor.finding import Finding, absent, fine, poor
from onboard_vla.app.doctor.machine import Machine
from onboard_vla.core.realtime import DEFAULT_PRIORITY

LEAST_CORES = 2
"""The demo was measured on two: world and planner take one each, supervisor and guard share."""
LEAST_MEMORY_KIB = 2 * 1024 * 1024
"""2 GiB available: processes of the demo and one export."""
CLOCK_SOURCES = ("tsc", "arch_sys_counter", "kvm-clock", "hyperv_clocksource_tsc_page", "xen")
"""Sources that are read without leaving user space or nearly so; hpet and acpi_pm take microseconds a reading."""
CAP_SYS_NICE = 23
"""Bit number in CapEff of /proc/self/status (linux/capability.h)."""


def cores(machine: Machine) -> Finding:
    """Processor cores."""
    count = machine.cores()
    if count < LEAST_CORES:
        consequence = "planner and supervisor wait for each other; a real-time demo will be inconclusive"
        return poor("cores", str(count), consequence, f"give it {LEAST_CORES} or more, or use demo --lockstep")
    return fine("cores", str(count))


def memory(machine: Machine) -> Finding:
    """Memory that can be had without swapping."""
    match = re.search(r"MemAvailable:\s+(\d+) kB", machine.read("/proc/meminfo") or "")
    if match is None:
        return poor("memory", "unknown: no MemAvailable in /proc/meminfo", "not checked", "none")
    available = int(match[1])
    found = f"{available / 1024 / 1024:.1f} GiB available"
    if available < LEAST_MEMORY_KIB:
        consequence = "export and demo may be ended by the kernel"
        return poor("memory", found, consequence, f"free {LEAST_MEMORY_KIB // 1024 // 1024} GiB")
    return fine("memory", found)


def clock(machine: Machine) -> Finding:
    """The kernel's clock source: watchdogs read it at every tick."""
    source = (machine.read("/sys/devices/system/clocksource/clocksource0/current_clocksource") or "").strip()
    if not source:
        return poor("clock", "unknown", "cost of reading the clock is not known", "none")
    if source not in CLOCK_SOURCES:
        consequence = "reading the clock takes microseconds and may jump"
        return poor("clock", source, consequence, "boot with a stable TSC (clocksource=tsc)")
    return fine("clock", source)


def realtime(machine: Machine) -> Finding:
    """Whether the supervisor may ask for SCHED_FIFO."""
    match = re.search(r"CapEff:\s+([0-9a-f]+)", machine.read("/proc/self/status") or "")
    capable = match is not None and bool(int(match[1], 16) >> CAP_SYS_NICE & 1)
    limit = machine.realtime_priority_limit()
    if capable or limit < 0 or limit >= DEFAULT_PRIORITY:
        return fine("realtime", "CAP_SYS_NICE" if capable else f"priorities up to {'any' if limit < 0 else limit}")
    consequence = "under load the supervisor's period stretches (20 ms ticks of 60 ms and more)"
    remedy = f"ulimit -r {DEFAULT_PRIORITY} by /etc/security/limits.d, or LimitRTPRIO= of the service"
    return absent("realtime", f"priority limit {limit}", consequence, remedy)
