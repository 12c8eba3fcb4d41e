"""Six pictures of one moment with the trajectories drawn in."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray

from onboard_vla.app.closed_loop_record import RunRecord, Snapshot
from onboard_vla.app.demo_tables import MODE_NAMES
from onboard_vla.app.faults import SECOND_NS
from onboard_vla.app.report.projection import in_ego_frame, plan_in_odometry
from onboard_vla.app.report.style import MODE_COLOURS, PALE_INK, PLAN_COLOUR
from onboard_vla.core.camera_rig import project, ribbon
from onboard_vla.core.cameras import (
    BACK,
    BACK_LEFT,
    BACK_RIGHT,
    FRONT,
    FRONT_LEFT,
    FRONT_RIGHT,
    CameraCalibration,
)
from onboard_vla.core.safe_trajectory import Mode

ARRANGEMENT = (FRONT_LEFT, FRONT, FRONT_RIGHT, BACK_LEFT, BACK, BACK_RIGHT)
"""Two rows of three, as one looks around."""


def draw_cameras(
    where: Figure | SubFigure,
    record: RunRecord,
    snapshot: Snapshot,
    rig: dict[str, CameraCalibration],
    absent: Mapping[str, str] | None = None,
) -> None:
    """Draw the six pictures; the ribbon is what the vehicle was given, the dots are the model's newest plan.

    `absent`: why a camera has no picture.
    """
    axes = where.subplots(2, 3)
    given = in_ego_frame(snapshot.pose, snapshot.driven_points[:, 1:3])
    planned = None
    if snapshot.plan is not None:
        planned = in_ego_frame(snapshot.pose, plan_in_odometry(record, snapshot.plan)[:, :2])
    for panel, camera in zip(axes.flat, ARRANGEMENT, strict=True):
        if camera in snapshot.images:
            _draw_camera(panel, snapshot, rig[camera], given, planned)
        else:
            _draw_absence(panel, camera, (absent or {}).get(camera, "none was kept"))


def snapshot_caption(snapshot: Snapshot) -> str:
    """When, what mode, what happened."""
    return f"{snapshot.time_ns / SECOND_NS:.1f} s, {MODE_NAMES[Mode(snapshot.mode)]}: {snapshot.title}"


def _draw_camera(
    panel: Axes,
    snapshot: Snapshot,
    calibration: CameraCalibration,
    given: NDArray[np.float64],
    planned: NDArray[np.float64] | None,
) -> None:
    height, width = snapshot.images[calibration.camera].shape[:2]
    panel.imshow(snapshot.images[calibration.camera], extent=(0, width, height, 0), interpolation="bilinear")
    colour = MODE_COLOURS.get(snapshot.mode, PALE_INK)
    quads = _quads(calibration, given)
    if quads:
        panel.add_collection(PolyCollection(quads, facecolors=colour, edgecolors="none", alpha=0.55))
    if planned is not None:
        pixels, visible = project(calibration, np.hstack([planned, np.zeros((len(planned), 1))]))
        visible[0] = False
        panel.plot(*pixels[visible].T, "o", color="white", markeredgecolor=PLAN_COLOUR, markersize=3.2, mew=1.2)
    panel.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
    for spine in panel.spines.values():
        spine.set_visible(False)
    label = {"color": "white", "fontsize": 7, "va": "top", "bbox": {"fc": "#000000A0", "ec": "none", "pad": 1.5}}
    panel.text(4, 5, calibration.camera.replace("_", " "), **label)


def _draw_absence(panel: Axes, camera: str, why: str) -> None:
    """No black picture: that would look like a camera in the dark."""
    panel.set_axis_off()
    words = f"{camera.replace('_', ' ')}: no picture\n{textwrap.fill(why, 34)}"
    panel.text(0.5, 0.5, words, ha="center", va="center", fontsize=7, transform=panel.transAxes)


def _quads(calibration: CameraCalibration, path: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    left, right = ribbon(path)
    if not len(left):
        return []
    left_pixels, left_visible = project(calibration, left)
    right_pixels, right_visible = project(calibration, right)
    seen = left_visible & right_visible
    return [
        np.array([left_pixels[i], left_pixels[i + 1], right_pixels[i + 1], right_pixels[i]])
        for i in range(len(left) - 1)
        if seen[i] and seen[i + 1]
    ]
