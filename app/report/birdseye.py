"""The bird's-eye strip: road, traffic, and the driven path coloured by mode."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from onboard_vla.app.closed_loop_record import RunRecord, Snapshot
from onboard_vla.app.demo_tables import MODE_NAMES
from onboard_vla.app.faults import SECOND_NS
from onboard_vla.app.report.projection import plan_in_odometry, pose_at
from onboard_vla.app.report.style import (
    FAULT_COLOUR,
    INK,
    MODE_COLOURS,
    PALE_INK,
    PLAN_COLOUR,
    ROAD_COLOUR,
    TRAFFIC_COLOUR,
    VIOLATION_COLOUR,
)
from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.geometry import box_corners
from onboard_vla.core.safe_trajectory import Mode

STRIP_MARGIN_M = 14.0
AROUND_STRIP = 0.9
"""Inches for legend and axis."""
DETAIL_BEHIND_M, DETAIL_AHEAD_M, DETAIL_ASIDE_M = 15.0, 55.0, 9.0

Array = NDArray[np.float64]


def draw_strip(panel: Axes, record: RunRecord) -> None:
    """The whole run from above, turned so that it runs from left to right."""
    path = np.array([(step.x_m, step.y_m) for step in record.steps])
    turn = _turn_to_horizontal(path)
    for edges in record.lane_edges:
        panel.add_collection(PolyCollection([_outline(edges) @ turn], facecolors=ROAD_COLOUR, edgecolors="none"))
    panel.plot(*(record.route_points @ turn).T, color=PALE_INK, linewidth=0.5, linestyle=(0, (6, 5)))
    for traffic in record.traffic[::3]:
        _boxes(panel, traffic.states, turn, alpha=0.35)
    _path_by_mode(panel, record, path @ turn)
    _fault_marks(panel, record, turn)
    _violation_marks(panel, record, turn)
    turned = path @ turn
    low, high = turned.min(axis=0) - STRIP_MARGIN_M, turned.max(axis=0) + STRIP_MARGIN_M
    panel.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), yticks=[], aspect="equal")
    panel.set_xlabel("metres")
    panel.spines["left"].set_visible(False)
    modes = sorted({step.mode for step in record.steps if step.mode in MODE_COLOURS})
    marks = [Line2D([], [], color=MODE_COLOURS[m], linewidth=3, label=MODE_NAMES[Mode(m)]) for m in modes]
    marks.append(Line2D([], [], color=TRAFFIC_COLOUR, linewidth=4, alpha=0.5, label="traffic, every 3 s"))
    panel.legend(handles=marks, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=len(marks), fontsize=7.5)


def strip_height(record: RunRecord, width: float) -> float:
    """Height in the unit of `width` at which the strip, its legend and its axis fill a figure of that width."""
    path = np.array([(step.x_m, step.y_m) for step in record.steps])
    length, breadth = np.ptp(path @ _turn_to_horizontal(path), axis=0) + 2 * STRIP_MARGIN_M
    return float(np.clip(width * breadth / length, 0.06 * width, 0.7 * width)) + AROUND_STRIP


def draw_detail(panel: Axes, record: RunRecord, snapshot: Snapshot) -> None:
    """One moment from above: the vehicle, what stands around, what it was given and what the model planned."""
    heading = snapshot.pose[2]
    turn = np.array([[np.cos(heading), -np.sin(heading)], [np.sin(heading), np.cos(heading)]])
    origin = np.array(snapshot.pose[:2]) @ turn
    for edges in record.lane_edges:
        outline = _outline(edges) @ turn - origin
        panel.add_collection(PolyCollection([outline], facecolors=ROAD_COLOUR, edgecolors="none"))
    _boxes(panel, snapshot.objects.states(), turn, alpha=0.9, origin=origin)
    vehicle = VehicleGeometry()
    centre = np.array([[vehicle.centre_offset_m, 0.0]])
    ego = box_corners(centre, np.zeros(1), vehicle.length_m, vehicle.width_m)
    panel.add_collection(PolyCollection(list(ego), facecolors=INK, edgecolors="none"))
    given = snapshot.driven_points[:, 1:3] @ turn - origin
    panel.plot(
        *given.T, color=MODE_COLOURS.get(snapshot.mode, PALE_INK), linewidth=3, alpha=0.8, solid_capstyle="round"
    )
    if snapshot.plan is not None:
        planned = plan_in_odometry(record, snapshot.plan)[1:, :2] @ turn - origin
        panel.plot(*planned.T, "o", color="white", markeredgecolor=PLAN_COLOUR, markersize=3, mew=1.1)
    panel.set(
        xlim=(-DETAIL_BEHIND_M, DETAIL_AHEAD_M),
        ylim=(-DETAIL_ASIDE_M, DETAIL_ASIDE_M),
        xticks=[],
        yticks=[],
        aspect="equal",
    )
    for spine in panel.spines.values():
        spine.set_visible(False)


def _turn_to_horizontal(path: Array) -> Array:
    """Rotation (2, 2), applied from the right, that lays the path's longest extent along x, start at the left."""
    centred = path - path.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    along = axes[:, 1]
    if along @ (path[-1] - path[0]) < 0:
        along = -along
    return np.array([[along[0], -along[1]], [along[1], along[0]]])


def _outline(edges: Array) -> Array:
    return np.vstack([edges[0], edges[1][::-1]])


def _boxes(panel: Axes, states: Array, turn: Array, alpha: float, origin: Array | None = None) -> None:
    if not len(states):
        return
    corners = box_corners(states[:, :2], states[:, 2], states[:, 5], states[:, 6]) @ turn
    if origin is not None:
        corners = corners - origin
    panel.add_collection(PolyCollection(list(corners), facecolors=TRAFFIC_COLOUR, edgecolors="none", alpha=alpha))


def _path_by_mode(panel: Axes, record: RunRecord, path: Array) -> None:
    segments = np.stack([path[:-1], path[1:]], axis=1)
    colours = [MODE_COLOURS.get(step.mode, PALE_INK) for step in record.steps[:-1]]
    panel.add_collection(LineCollection(list(segments), colors=colours, linewidths=3.0, zorder=3))


def _violation_marks(panel: Axes, record: RunRecord, turn: Array) -> None:
    """Where the vehicle's front was when a rule was broken, and which."""
    vehicle = VehicleGeometry()
    for violation in record.violations:
        x, y, heading = pose_at(record, violation.time_ns)
        front = vehicle.length_m - vehicle.rear_overhang_m
        place = np.array([x + front * np.cos(heading), y + front * np.sin(heading)]) @ turn
        panel.plot(*place, "x", color=VIOLATION_COLOUR, markersize=9, mew=2, zorder=5)
        panel.annotate(
            violation.kind.replace("_", " "),
            place,
            xytext=(0, -14),
            textcoords="offset points",
            ha="center",
            fontsize=7.5,
        )


def _fault_marks(panel: Axes, record: RunRecord, turn: Array) -> None:
    for fault in record.faults:
        place = pose_at(record, fault.start_ns)[:2] @ turn
        panel.plot(*place, "X", color="white", markeredgecolor=INK, markersize=8, zorder=4)
        words = f"{fault.start_ns / SECOND_NS:.0f} s: {fault.fault.title}"
        panel.annotate(
            words,
            place,
            xytext=(0, 16),
            textcoords="offset points",
            ha="center",
            fontsize=7.5,
            zorder=5,
            bbox={"fc": FAULT_COLOUR, "ec": "none", "pad": 2, "alpha": 0.9},
            arrowprops={"arrowstyle": "-", "color": INK, "linewidth": 0.6},
        )
