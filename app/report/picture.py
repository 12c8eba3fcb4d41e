"""The README's picture: one moment in six cameras, the run from above, and its modes."""

from __future__ import annotations

from pathlib import Path

from onboard_vla.app.closed_loop_record import RunRecord, Snapshot
from onboard_vla.app.report.birdseye import draw_strip
from onboard_vla.app.report.cameras import draw_cameras, snapshot_caption
from onboard_vla.app.report.style import new_figure, rows_of
from onboard_vla.app.report.timelines import draw_modes
from onboard_vla.core.cameras import CameraCalibration
from onboard_vla.core.errors import OnboardVlaError

DOTS_PER_INCH = 110


def write_picture(path: Path, record: RunRecord, rig: dict[str, CameraCalibration]) -> None:
    """Write the picture as PNG.

    Raises:
        OnboardVlaError: the run kept no pictures.
    """
    if not record.snapshots:
        raise OnboardVlaError("picture: the run kept no camera pictures; let it run past its first snapshot")
    figure = new_figure(10.0, 7.4)
    cameras, strip, modes = rows_of(figure, [4.0, 1.9, 1.4])
    snapshot = _telling(record)
    cameras.suptitle(snapshot_caption(snapshot), x=0.01, ha="left", fontsize=9)
    draw_cameras(cameras, record, snapshot, rig)
    draw_strip(strip.subplots(), record)
    panel = modes.subplots()
    draw_modes(panel, record)
    panel.set_xlabel("seconds after engagement")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DOTS_PER_INCH, metadata={"Software": None})


def _telling(record: RunRecord) -> Snapshot:
    """The moment in which the model drives and has a plan, or else the first."""
    return next((s for s in record.snapshots if s.mode <= 1 and s.plan is not None), record.snapshots[0])
