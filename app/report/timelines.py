"""Curves over the run's time, and distributions: modes, speed, latency, probe lateness."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection

from onboard_vla.app.closed_loop_figures import Distribution
from onboard_vla.app.closed_loop_record import RunRecord
from onboard_vla.app.demo_tables import MODE_NAMES
from onboard_vla.app.demo_verdict import PROBE_LATENESS_LIMIT_MS
from onboard_vla.app.faults import BLACK_CAMERA, SECOND_NS
from onboard_vla.app.report.style import FAULT_COLOUR, INK, MODE_COLOURS, PALE_INK, PLAN_COLOUR
from onboard_vla.core.safe_trajectory import Mode

HISTOGRAM_BINS = 40
INDICATORS_UP_TO_S = 10.0
"""What is farther off in time is not drawn."""


def draw_modes(panel: Axes, record: RunRecord) -> None:
    """Published mode over time; the faults' causes are shaded."""
    driving = record.driving()
    _shade_faults(panel, record)
    ends = [*(item.stamp_ns for item in driving[1:]), *([record.settings.run_ns] if driving else [])]
    bars: dict[int, list[np.ndarray]] = {}
    for item, end_ns in zip(driving, ends, strict=True):
        x0, x1, y = item.stamp_ns / SECOND_NS, end_ns / SECOND_NS, item.mode
        bars.setdefault(y, []).append(np.array([(x0, y - 0.35), (x1, y - 0.35), (x1, y + 0.35), (x0, y + 0.35)]))
    for mode, shapes in bars.items():
        panel.add_collection(PolyCollection(_merged(shapes), facecolors=MODE_COLOURS[mode], edgecolors="none"))
    highest = max([item.mode for item in driving], default=0)
    levels = range(max(highest, 2) + 1)
    panel.set(xlim=(0, record.settings.run_ns / SECOND_NS), ylim=(max(highest, 2) + 0.6, -0.6))
    panel.set_yticks(list(levels), [MODE_NAMES[Mode(level)] for level in levels])
    panel.set_title("published mode" if driving else "published mode: in standby, nobody was driven")


def draw_speed(panel: Axes, record: RunRecord) -> None:
    """The vehicle's true speed over time."""
    _shade_faults(panel, record)
    times = [step.time_ns / SECOND_NS for step in record.steps]
    panel.plot(times, [step.speed_mps for step in record.steps], color=INK, linewidth=1.1)
    panel.set(xlim=(0, record.settings.run_ns / SECOND_NS), ylim=(0, None), ylabel="m/s", title="speed")


def draw_probe(panel: Axes, record: RunRecord) -> None:
    """Lateness of the 20 ms probe timer over time, with the limit that makes a run inconclusive."""
    _shade_faults(panel, record)
    times = [time_ns / SECOND_NS for time_ns, _ in record.probe]
    panel.plot(times, [lateness for _, lateness in record.probe], color=INK, linewidth=0.6)
    panel.axhline(PROBE_LATENESS_LIMIT_MS, color=PALE_INK, linewidth=0.8, linestyle="--")
    panel.set(xlim=(0, record.settings.run_ns / SECOND_NS), ylim=(0, None))
    panel.set(
        ylabel="ms", title=f"lateness of a 20 ms probe timer (limit around a fault: {PROBE_LATENESS_LIMIT_MS:.0f} ms)"
    )


def draw_latency(panel: Axes, record: RunRecord) -> None:
    """Histogram of the plans' latency with median and 99th percentile."""
    values = [plan.latency_ms for plan in record.plans]
    distribution = Distribution.of(values)
    if distribution is None:
        panel.text(0.5, 0.5, "no plans", ha="center", transform=panel.transAxes)
        return
    panel.hist(values, bins=HISTOGRAM_BINS, color=PLAN_COLOUR)
    for value, name in ((distribution.p50, "p50"), (distribution.p99, "p99")):
        panel.axvline(value, color=INK, linewidth=0.9, linestyle="--")
        where = {"xycoords": panel.get_xaxis_transform(), "xytext": (3, 0), "textcoords": "offset points"}
        panel.annotate(f"{name} {value:.0f} ms", (value, 1.0), va="top", fontsize=7.5, **where)
    panel.set(xlim=(0, None), xlabel="ms", ylabel="plans", title=f"plan latency, wall time (n = {distribution.n})")


def draw_age(panel: Axes, record: RunRecord) -> None:
    """Age of the oldest newest picture when each plan arrived."""
    _shade_faults(panel, record)
    times = [plan.received_ns / SECOND_NS for plan in record.plans]
    panel.plot(times, [plan.age_ns / 1e6 for plan in record.plans], ".", color=PLAN_COLOUR, markersize=3)
    panel.set(
        xlim=(0, record.settings.run_ns / SECOND_NS), ylim=(0, None), ylabel="ms", title="age of plans on arrival"
    )


def draw_doubt(panel: Axes, record: RunRecord) -> None:
    """Each plan's spread at its worst step, and its farthest camera's distance from nominal pictures."""
    _shade_faults(panel, record)
    times = [plan.received_ns / SECOND_NS for plan in record.plans]
    panel.plot(times, [plan.spread_m for plan in record.plans], ".", color=PLAN_COLOUR, markersize=3, label="spread, m")
    seen = [
        (time, plan.vision_ood) for time, plan in zip(times, record.plans, strict=True) if plan.vision_ood is not None
    ]
    if seen:
        name = "pictures' distance, x nominal q99"
        panel.plot(*zip(*seen, strict=True), ".", color=INK, markersize=3, label=name)
    panel.legend(loc="upper right", fontsize=7, frameon=False, ncols=2)
    panel.set(xlim=(0, record.settings.run_ns / SECOND_NS), ylim=(0, None), title="the planner's doubt")


def draw_indicators(panel: Axes, record: RunRecord) -> None:
    """Seconds of headway, to collision and to the last moment of braking; beyond ten, nobody is concerned."""
    _shade_faults(panel, record)
    times = [sample.stamp_ns / SECOND_NS for sample in record.indicators]
    for name, colour, values in (
        ("headway", PALE_INK, [sample.headway_s for sample in record.indicators]),
        ("to collision", INK, [sample.time_to_collision_s for sample in record.indicators]),
        ("to brake", "#C0392B", [sample.time_to_brake_s for sample in record.indicators]),
    ):
        near = [value if value <= INDICATORS_UP_TO_S else np.nan for value in values]
        panel.plot(times, near, color=colour, linewidth=1.0, label=name)
    panel.legend(loc="upper right", fontsize=7, frameon=False, ncols=3)
    panel.set(xlim=(0, record.settings.run_ns / SECOND_NS), ylim=(0, INDICATORS_UP_TO_S), ylabel="s")
    panel.set_title("safety performance indicators")


def _shade_faults(panel: Axes, record: RunRecord) -> None:
    for fault in record.faults:
        start = fault.start_ns / SECOND_NS
        if fault.fault.kind == BLACK_CAMERA:
            panel.axvspan(start, start + fault.fault.duration_ns / SECOND_NS, color=FAULT_COLOUR, linewidth=0)
        else:
            panel.axvline(start, color="#C0392B", linewidth=1.4)


def _merged(shapes: list[np.ndarray]) -> list[np.ndarray]:
    """Join touching bars of one mode, so that the drawing stays small."""
    joined: list[np.ndarray] = []
    for shape in shapes:
        if joined and abs(joined[-1][1, 0] - shape[0, 0]) < 1e-9:
            joined[-1] = np.array([joined[-1][0], shape[1], shape[2], joined[-1][3]])
        else:
            joined.append(shape)
    return joined
