"""Runs all probes and shows what they found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any

from rich.table import Table
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


def as_table(findings: Sequence[Finding]) -> Table:
    """The findings as a table for people."""
    verdict = "can" if is_fit(findings) else "cannot"
    table = Table(
        title=f"onboard-vla {__version__}: the default configuration {verdict} run here", title_justify="left"
    )
    for column in ("what", "state", "found", "what follows, what to do"):
        table.add_column(column, overflow="fold")
    for finding in findings:
        mark = f"{finding.state.value}, required" if finding.required else finding.state.value
        follows = "; to change it: ".join(part for part in (finding.consequence, finding.remedy) if part)
        state = Text(mark, style=STYLES[finding.state])
        table.add_row(Text(finding.name), state, Text(finding.found), Text(follows))
    return table
