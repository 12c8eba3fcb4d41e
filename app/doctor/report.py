"""Runs all probes and shows what they found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any

from rich.console import Console
from rich.text import Text

from onboard_vla import __version__
from onboard_vla.app.doctor import host, inference, transport
from onboard_vla.app.doctor.finding import Finding, State, poor
from onboard_vla.app.doctor.machine import Machine

Probe = Callable[[Machine], Finding]

SCHEMA = 1
"""Version of the JSON document; names of findings and fields stay as they are within a version."""
PROBES: tuple[Probe, ...] = (
    inference.python,
    inference.packages,
    inference.onnxruntime,
    inference.int8,
    inference.reference_checkpoint,
    inference.export,
    inference.world,
    inference.training,
    inference.tensorrt,
    inference.tensorrt_rtx,
    inference.cuda_driver,
    inference.cuda_compiler,
    inference.cxx_compiler,
    inference.kernels,
    transport.ros2,
    transport.rmw,
    transport.discovery,
    transport.dds_profile,
    transport.ros_messages,
    transport.shared_memory,
    transport.dds_segments,
    transport.zeromq,
    host.cores,
    host.memory,
    host.clock,
    host.realtime,
)
REQUIRED = frozenset({"python", "packages", "onnxruntime", "reference_checkpoint", "export", "world", "zeromq"})
"""Rows that the default configuration needs: the reference checkpoint, exported to INT8, on ONNX Runtime."""
STYLES = {State.OK: "green", State.WARNING: "yellow", State.MISSING: "red"}


def examine(machine: Machine, probes: Iterable[Probe] = PROBES) -> list[Finding]:
    """Run every probe; one that fails becomes a warning row of its name."""
    findings = []
    for probe in probes:
        try:
            finding = probe(machine)
        except Exception as error:  # a probe meets machines that nobody has seen: its row says so, the others go on
            what = " ".join(f"{type(error).__name__}: {error}".split())
            finding = poor(getattr(probe, "__name__", "probe"), f"probe failed: {what}", "not known", "report this row")
        findings.append(replace(finding, required=finding.name in REQUIRED))
    return findings


def is_fit(findings: Sequence[Finding]) -> bool:
    """Whether the default configuration can run."""
    return not any(finding.required and finding.state is State.MISSING for finding in findings)


def as_document(findings: Sequence[Finding]) -> dict[str, Any]:
    """The findings as plain values for JSON."""
    rows = [{**asdict(finding), "state": finding.state.value} for finding in findings]
    return {"schema": SCHEMA, "onboard_vla": __version__, "fit": is_fit(findings), "findings": rows}


def verdict(findings: Sequence[Finding]) -> str:
    """The rows' title."""
    can = "can" if is_fit(findings) else "cannot"
    return f"onboard-vla {__version__}: the default configuration {can} run here"


def print_findings(console: Console, title: str, findings: Sequence[Finding]) -> None:
    """The findings for people: what, state, what was found; below it what follows and what to do.

    Lines are as long as they are, so that a terminal wraps them and a path can be copied. What to do about several
    findings stands once, below all.
    """
    shared = [remedy for remedy, count in Counter(f.remedy for f in findings).items() if remedy and count > 1]
    marks = [f"{f.state.value}, required" if f.required else f.state.value for f in findings]
    widths = max((len(f.name) for f in findings), default=0), max(map(len, marks), default=0)
    lines = [Text(title)]
    for finding, mark in zip(findings, marks, strict=True):
        lines.append(Text.assemble(f"{finding.name:{widths[0]}}  ", (f"{mark:{widths[1]}}", STYLES[finding.state])))
        lines[-1].append(f"  {finding.found}")
        remedy = f"({shared.index(finding.remedy) + 1})" if finding.remedy in shared else finding.remedy
        follows = "; to change it: ".join(part for part in (finding.consequence, remedy) if part)
        if follows:
            lines.append(Text(" " * (sum(widths) + 4) + follows))
    lines += [Text(f"({number}) {remedy}") for number, remedy in enumerate(shared, 1)]
    for line in lines:
        console.print(line, soft_wrap=True)
