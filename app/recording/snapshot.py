"""A moment of a recording as one picture: cameras with the plan drawn in, from above, modes, doubt, reasons."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure, SubFigure

from onboard_vla.app.demo_tables import MODE_NAMES
from onboard_vla.app.recording.moment import Moment
from onboard_vla.app.report.birdseye import draw_detail
from onboard_vla.app.report.cameras import draw_cameras
from onboard_vla.app.report.style import new_figure, rows_of
from onboard_vla.app.report.timelines import draw_modes
from onboard_vla.core.cameras import CameraCalibration
from onboard_vla.core.clock import seconds
from onboard_vla.core.plan import Plan
from onboard_vla.core.safe_trajectory import Mode, SafeTrajectory
from onboard_vla.world.rig import default_rig

DOTS_PER_INCH = 110
LINE_LENGTH = 78
WORDS_KEPT = 12
"""Lines of text that fit beside the timeline."""


def write_snapshot(path: Path, moment: Moment, rig_file: Path | None = None) -> None:
    """Draw a moment as PNG.

    Args:
        path: the picture.
        moment: what to draw.
        rig_file: the cameras' poses and lenses, in the form of world/rig.json; the world's if not given.
    """
    snapshot = moment.snapshot
    assert snapshot is not None  # `read_moment` gives none without
    figure = new_figure(10.0, 7.8)
    cameras, above, below = rows_of(figure, [4.0, 1.4, 1.9])
    cameras.suptitle(_caption(moment), x=0.01, ha="left", fontsize=9)
    draw_cameras(cameras, moment.record, snapshot, _rig(moment, rig_file), moment.absent)
    draw_detail(above.subplots(), moment.record, snapshot)
    _draw_words(below, moment)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})


def words_of(moment: Moment) -> list[str]:
    """Who drives and why, what the model doubts, and which pictures are not fit for use."""
    lines = [] if moment.safe is None else _said(moment.safe)
    if moment.plan is not None:
        lines += _planned(moment.plan)
    else:
        lines.append("no plan until then")
    if moment.rejection is not None:
        lines.append(f"plan {moment.rejection.plan_id} rejected: {moment.rejection.code}: {moment.rejection.detail}")
    for camera, verdict in moment.verdicts.items():
        if not verdict.usable:
            lines.append(f"{camera} not usable: {', '.join(reason.code for reason in verdict.reasons)}")
    lines += [f"{name}: {count} messages could not be read" for name, count in moment.refused.items()]
    return lines


def _rig(moment: Moment, rig_file: Path | None) -> dict[str, CameraCalibration]:
    """Calibrations for the size that each camera's picture has."""
    assert moment.snapshot is not None
    whole, rig = default_rig(file=rig_file), {}
    for camera, calibration in whole.items():
        image = moment.snapshot.images.get(camera)
        sized = calibration if image is None else default_rig(image.shape[1], image.shape[0], rig_file)[camera]
        rig[camera] = sized
    return rig


def _caption(moment: Moment) -> str:
    mode = "no supervisor heard" if moment.safe is None else MODE_NAMES[Mode(moment.safe.mode)]
    engagement = "" if moment.safe is None else f", {moment.safe.engagement.value.replace('_', ' ')}"
    return f"{moment.at_ns / 1e9:.2f} s into the recording: {mode}{engagement}"


def _draw_words(where: Figure | SubFigure, moment: Moment) -> None:
    timeline, words = where.subplots(1, 2, width_ratios=[1.0, 1.25])
    draw_modes(timeline, moment.record)
    timeline.set_xlabel("seconds")
    words.set_axis_off()
    lines = [part for line in words_of(moment) for part in textwrap.wrap(line, LINE_LENGTH, subsequent_indent="    ")]
    if len(lines) > WORDS_KEPT:
        lines = [*lines[: WORDS_KEPT - 1], f"... {len(lines) - WORDS_KEPT + 1} more lines"]
    words.text(0.0, 1.0, "\n".join(lines), va="top", fontsize=7.0, transform=words.transAxes)


def _said(safe: SafeTrajectory) -> list[str]:
    lines = [f"trajectory from {safe.source}, takeover request: {safe.takeover.name.lower()}"]
    for reason in safe.reasons:
        lines.append(f"{reason.code}: {reason.detail} ({reason.measured:.3g}, limit {reason.limit:.3g})")
    return lines


def _planned(plan: Plan) -> list[str]:
    doubt = plan.uncertainty
    took_ms, apart_s = plan.stage_ms.get("total", float("nan")), seconds(plan.stamp_ns - plan.oldest_frame_stamp_ns)
    first = " at the first step" if len(doubt.outside_mass) < len(doubt.spread_m) else ""
    lines = [
        f"plan {plan.plan_id}: {plan.depth} thinking (slow at {plan.slow_probability:.0%}), {took_ms:.0f} ms, oldest "
        f"picture {apart_s:.3f} s before the front one",
        f"doubt: spread up to {_greatest(doubt.spread_m):.2f} m a step, {_greatest(doubt.outside_mass):.1%} outside "
        f"the codebook{first}, second way {_greatest(doubt.second_mass):.0%}, {doubt.negative_log_likelihood:.2f} nats",
    ]
    if plan.text:
        lines.append(f"says: {plan.text}")
    skewed = {camera: ms for camera, ms in plan.camera_skew_ms.items() if abs(ms) >= 1.0}
    if skewed:
        lines.append("camera skew: " + ", ".join(f"{camera} {ms:+.0f} ms" for camera, ms in skewed.items()))
    return lines


def _greatest(values: np.ndarray) -> float:
    return float(values.max()) if values.size else 0.0
