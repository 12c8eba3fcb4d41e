"""The result as one HTML file: bars of floors beside the targets, the rooflines themselves, and every figure."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from onboard_vla.app.report.page import STYLE, WIDTH_IN
from onboard_vla.app.report.style import INK, PALE_INK, inline_svg, new_figure
from onboard_vla.app.roofline.devices import Device
from onboard_vla.app.roofline.floors import TARGETS_MS, PlanFloor
from onboard_vla.app.roofline.report import Roofline
from onboard_vla.app.roofline.stages import DECODE, HEAD, PATCHES, PREFILL, VISION
from onboard_vla.app.roofline.tables import LEGEND, plan_cells, plan_heads, rounded, stage_cells

COLOURS = {PATCHES: "#8C6BB1", VISION: "#009E73", PREFILL: "#0072B2", DECODE: "#E69F00"}
MARKS = {VISION: "o", PREFILL: "s", DECODE: "^"}
BAR, ROW_IN = 0.62, 0.24


def write_page(path: Path, result: Roofline) -> None:
    """Write the page; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(result), encoding="utf-8")


def page(result: Roofline) -> str:
    """The page's HTML text."""
    title = "Onboard VLA: roofline"
    width, height = result.request.source
    stages = [(_plan_name(plan), *stage_cells(stage)) for plan in result.plans for stage in plan.steady]
    heads = ("plan", "stage", "MB", "GOP int8", "GOP float", "floor ms", "bound", "measured ms", "over floor")
    devices = [(d.key, d.name, *_rates(d), d.note, "; ".join(d.sources)) for d in result.devices]
    parts = [
        f"<h1>{title}</h1>",
        f"<p>What a fast plan of {result.request.passes} passes costs at least, from {width} x {height} pictures. "
        "Bars: floors of the stages. Thin line: what is measured here, or a PROJECTION at usual rates. "
        "No accelerator of this table has been run.</p>",
        f"<figure>{bars(result.plans)}<figcaption>Floors of a plan in steady state; dashed: the targets."
        "</figcaption></figure>",
        f"<figure>{rooflines(result)}<figcaption>Rooflines, and where the stages lie under them: left of the bend "
        "memory is the bound, right of it the units.</figcaption></figure>",
        "<h2>Plans</h2>",
        f"<p>{html.escape(LEGEND)}</p>",
        _table(plan_heads(with_stages=True), (plan_cells(plan, with_stages=True) for plan in result.plans)),
        "<h2>Stages</h2>",
        _table(heads, stages),
        "<h2>Machines</h2>",
        _table(("machine", "", "GB/s", "int8 TOPS", "float TFLOPS", "", "source"), devices),
        "<h2>Assumptions</h2>",
        f"<ol>{''.join(f'<li>{html.escape(text)}</li>' for text in result.assumptions)}</ol>",
    ]
    head = f'<head><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style></head>'
    return f'<!DOCTYPE html>\n<html lang="en">{head}<body>\n' + "\n".join(parts) + "\n</body></html>\n"


def bars(plans: Sequence[PlanFloor]) -> str:
    """Stacked floors, one bar a plan; what is longer than four targets leaves the picture."""
    most = 4 * max(TARGETS_MS)
    figure = new_figure(WIDTH_IN, ROW_IN * len(plans) + 1.0)
    panel = figure.subplots()
    for row, plan in enumerate(plans):
        left = 0.0
        for stage in plan.steady:
            runs = {HEAD: 0, DECODE: plan.passes - 1}.get(stage.stage, 1)
            if runs:
                panel.barh(row, runs * stage.floor_ms, BAR, left=left, color=COLOURS[stage.stage])
                left += runs * stage.floor_ms
        panel.plot([left, plan.expected_ms], [row, row], color=INK, linewidth=1.0)
        panel.plot([plan.expected_ms], [row], "|", color=INK, markersize=6)
        words = f"{rounded(left)} ms; {plan.kind} {rounded(plan.expected_ms)}"
        panel.text(min(max(left, plan.expected_ms), most) + 4, row, words, va="center", fontsize=7, clip_on=False)
    for target in TARGETS_MS:
        panel.axvline(target, color="#B00020", linestyle="--", linewidth=0.8)
    panel.set_yticks(range(len(plans)), [_plan_name(plan) for plan in plans])
    panel.set_xlim(0, most)
    panel.invert_yaxis()
    panel.set_xlabel("ms")
    handles = [panel.barh([0], [0], color=colour, label=stage) for stage, colour in COLOURS.items()]
    panel.legend(handles=handles, loc="upper right")
    return inline_svg(figure)


def rooflines(result: Roofline) -> str:
    """Attainable rates over operations per byte, one panel a precision."""
    precisions = list(dict.fromkeys(plan.precision for plan in result.plans))
    figure = new_figure(WIDTH_IN, 3.4)
    panels = np.atleast_1d(figure.subplots(1, len(precisions), sharey=True))
    for panel, precision in zip(panels, precisions, strict=True):
        _rooflines(panel, [plan for plan in result.plans if plan.precision == precision], precision)
    panels[0].set_ylabel("operations a second")
    return inline_svg(figure)


def _rooflines(panel: Axes, plans: Sequence[PlanFloor], precision: str) -> None:
    x = np.logspace(-1, 4, 200)
    for device in dict.fromkeys(plan.device for plan in plans):
        peak = device.int8_per_s if precision == "int8" else device.float_per_s
        panel.plot(x, np.minimum(x * device.bandwidths[-1][1], peak), color=PALE_INK, linewidth=0.9)
        panel.text(x[-1], peak, device.key, fontsize=7, ha="right", va="bottom", color=PALE_INK)
    for plan in plans:
        for stage in plan.steady:
            if stage.stage in MARKS:
                operations = stage.int8_operations + stage.float_operations
                rate = operations / (stage.measured_ms or stage.floor_ms) * 1e3
                hollow = "none" if stage.measured_ms is None else COLOURS[stage.stage]
                panel.plot(
                    operations / stage.bytes, rate, MARKS[stage.stage], color=COLOURS[stage.stage], mfc=hollow, ms=4
                )
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_title(f"{precision}; hollow: floor, filled: measured")
    panel.set_xlabel("operations per byte")


def _plan_name(plan: PlanFloor) -> str:
    return f"{plan.model} {plan.precision}, {plan.sizes.cameras} cameras, {plan.device.key}"


def _rates(device: Device) -> tuple[str, str, str]:
    rates = device.bandwidths[-1][1] / 1e9, device.int8_per_s / 1e12, device.float_per_s / 1e12
    return f"{rates[0]:.4g}", f"{rates[1]:.3g}", f"{rates[2]:.3g}"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in heads)
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div style="overflow-x: auto"><table><tr>{head}</tr>{body}</table></div>'
