"""The HTML page: one file, nothing to fetch, fit for print."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from onboard_vla.app.closed_loop_figures import figures_of
from onboard_vla.app.closed_loop_record import RunRecord, Snapshot
from onboard_vla.app.demo_tables import (
    FAULT_COLUMNS,
    INTERVENTION_COLUMNS,
    MODE_NAMES,
    fault_rows,
    figure_rows,
    intervention_rows,
    verdict_line,
)
from onboard_vla.app.demo_verdict import PASS, RunVerdict
from onboard_vla.app.faults import SECOND_NS
from onboard_vla.app.report.birdseye import draw_detail, draw_strip, strip_height
from onboard_vla.app.report.cameras import draw_cameras, snapshot_caption
from onboard_vla.app.report.style import MODE_COLOURS, PLAN_COLOUR, inline_png, inline_svg, new_figure, rows_of
from onboard_vla.app.report.timelines import (
    draw_age,
    draw_doubt,
    draw_indicators,
    draw_latency,
    draw_modes,
    draw_probe,
    draw_speed,
)
from onboard_vla.core.cameras import CameraCalibration
from onboard_vla.core.safe_trajectory import Mode

STYLE = """
body { font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; color: #222; max-width: 62rem; margin: 2rem auto;
       padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0.2rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
p.verdict { font-size: 1.05rem; padding: 0.6rem 0.9rem; border-left: 0.4rem solid; background: #f6f6f4; }
p.pass { border-color: #0072B2; } p.other { border-color: #B00020; }
table { border-collapse: collapse; margin: 0.6rem 0; font-size: 0.85rem; }
td, th { text-align: left; padding: 0.2rem 0.9rem 0.2rem 0; border-bottom: 1px solid #ddd; vertical-align: top; }
figure { margin: 0.8rem 0; } figcaption { font-size: 0.85rem; color: #555; }
img, svg { max-width: 100%; height: auto; }
td + td:not(:last-child) { white-space: nowrap; }
td.missed { color: #B00020; font-weight: bold; }
@media print { body { max-width: none; margin: 0; font-size: 11px; } figure, table { break-inside: avoid; } }
"""


WIDTH_IN = 10.5
"""Width of all figures, inches."""


def write_report(
    path: Path,
    record: RunRecord,
    verdict: RunVerdict,
    provenance: dict[str, Any],
    rig: dict[str, CameraCalibration],
) -> None:
    """Write the report of one run.

    Args:
        path: the HTML file; its folder is made.
        record: the run.
        verdict: its verdict.
        provenance: what the run was made of; nested tables are shown as rows.
        rig: calibration of the six cameras, for drawing trajectories into their pictures.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(record, verdict, provenance, rig), encoding="utf-8")


def page(record: RunRecord, verdict: RunVerdict, provenance: dict[str, Any], rig: dict[str, CameraCalibration]) -> str:
    """The report's HTML text."""
    settings = record.settings
    title = f"Onboard VLA: {settings.run_ns / SECOND_NS:g} s on {settings.profile}, seed {settings.seed}"
    kind = "pass" if verdict.outcome == PASS else "other"
    clock = "virtual time, one process" if settings.transport == "lockstep" else f"real time, {settings.transport}"
    parts = [
        f"<h1>{_text(title)}</h1>",
        f"<p>{_text(clock)}; sensors: {_text(settings.sensor)}; planner: {_text(settings.planner)}.</p>",
        f'<p class="verdict {kind}">{_text(verdict_line(verdict))}</p>',
        _strip(record),
        _moments(record, rig),
        _curves(record),
        "<h2>Faults</h2>",
        _table(fault_rows(verdict.reactions), FAULT_COLUMNS) if verdict.reactions else "<p>No fault in this run.</p>",
        "<p>Times count from the first black picture's stamp, or from the kill, to the arrival of the published "
        "trajectory at the vehicle.</p>",
        "<h2>Interventions</h2>",
        _interventions(record),
        "<h2>Figures</h2>",
        _table(figure_rows(record, figures_of(record))),
        "<h2>Verdict, check by check</h2>",
        _checks(verdict),
        "<h2>What this was made of</h2>",
        _table(list(_flat(provenance))),
        "<p>Not shown here: figures of vehicle hardware. They belong to the machine named above.</p>",
    ]
    head = f'<head><meta charset="utf-8"><title>{_text(title)}</title><style>{STYLE}</style></head>'
    return f'<!DOCTYPE html>\n<html lang="en">{head}<body>\n' + "\n".join(parts) + "\n</body></html>\n"


def _strip(record: RunRecord) -> str:
    if len(record.steps) < 2:
        return ""
    figure = new_figure(WIDTH_IN, strip_height(record, WIDTH_IN))
    draw_strip(figure.subplots(), record)
    return _figure(
        inline_svg(figure),
        "The whole run from above. Path: coloured by the mode in force. Grey: the ego lane's drivable area.",
    )


def _moments(record: RunRecord, rig: dict[str, CameraCalibration]) -> str:
    if not record.snapshots:
        return ""
    legend = (
        "<h2>Moments</h2><p>Ribbon: the published trajectory, in its mode's colour ("
        + ", ".join(f'<span style="color:{MODE_COLOURS[m.value]}">&#9632;</span> {MODE_NAMES[m]}' for m in Mode)
        + "). Dots: the model's newest plan, placed where its pictures were taken "
        f'(<span style="color:{PLAN_COLOUR}">&#9679;</span>).</p>'
    )
    return legend + "".join(_moment(record, snapshot, rig) for snapshot in record.snapshots)


def _moment(record: RunRecord, snapshot: Snapshot, rig: dict[str, CameraCalibration]) -> str:
    figure = new_figure(WIDTH_IN, 6.6)
    above, below = rows_of(figure, [3.9, 2.7])
    draw_cameras(above, record, snapshot, rig)
    draw_detail(below.subplots(), record, snapshot)
    return _figure(inline_png(figure), snapshot_caption(snapshot))


def _curves(record: RunRecord) -> str:
    if not record.published:
        return ""
    curves = [draw_modes, draw_speed, draw_age, draw_doubt]
    curves += [draw_indicators] if record.indicators else []
    curves += [draw_probe] if record.probe else []
    figure = new_figure(WIDTH_IN, 1.6 * len(curves) + 0.6)
    heights = [1.5, *[1.1] * (len(curves) - 1)]
    panels = figure.subplots(len(curves), 1, gridspec_kw={"height_ratios": heights}, sharex=True)
    for draw, panel in zip(curves, panels, strict=True):
        draw(panel, record)
    panels[-1].set_xlabel("seconds after engagement")
    latency = new_figure(WIDTH_IN, 2.4)
    draw_latency(latency.subplots(), record)
    shaded = "Shaded: the camera is black. Red line: the process is killed."
    return _figure(inline_svg(figure), shaded) + _figure(inline_svg(latency), "All stages of one plan together.")


def _interventions(record: RunRecord) -> str:
    rows = intervention_rows(record)
    if not rows:
        return "<p>The mode never rose in this run.</p>"
    said = (
        "Every rise of the published mode, with all reasons in force: measured value and limit in the code's own unit."
    )
    return f"<p>{said}</p>{_table(rows, INTERVENTION_COLUMNS)}"


def _checks(verdict: RunVerdict) -> str:
    rows = []
    for check in verdict.checks:
        mark = "<td>held</td>" if check.held else f'<td class="missed">missed: {_text(check.outcome_if_missed)}</td>'
        cells = "".join(f"<td>{_text(value)}</td>" for value in (check.name, check.found, check.asked))
        rows.append(f"<tr>{cells}{mark}</tr>")
    head = "".join(f"<th>{name}</th>" for name in ("check", "found", "asked", ""))
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def _table(rows: Sequence[Sequence[str]], columns: Sequence[str] = ()) -> str:
    head = f"<tr>{''.join(f'<th>{_text(column)}</th>' for column in columns)}</tr>" if columns else ""
    body = "".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table>{head}{body}</table>"


def _flat(content: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in content.items():
        if isinstance(value, dict):
            rows.extend(_flat(value, f"{prefix}{name}, "))
        else:
            text = f"{value:.4g}" if isinstance(value, float) else str(value)
            rows.append((f"{prefix}{name}".replace("_", " "), text))
    return rows


def _figure(content: str, caption: str) -> str:
    return f"<figure><figcaption>{_text(caption)}</figcaption>{content}</figure>"


def _text(value: str) -> str:
    return html.escape(str(value))
