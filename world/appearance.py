"""Road users as solids: bodies, cabins, wheels, lamps, shadows and people."""

from __future__ import annotations

import math

from onboard_vla.core.objects import PEDESTRIAN
from onboard_vla.world.actors import Actor
from onboard_vla.world.paint_solids import BODY, CABIN, CROWN, PLAIN, SHADE

VEHICLE_COLOURS = (
    (196.0, 30.0, 34.0),
    (36.0, 70.0, 150.0),
    (232.0, 232.0, 230.0),
    (40.0, 42.0, 46.0),
    (160.0, 164.0, 170.0),
    (228.0, 176.0, 40.0),
    (60.0, 110.0, 76.0),
    (120.0, 60.0, 40.0),
)
TALL_M = 2.0
"""Vehicles taller than this are vans and trucks: one tall body and a windscreen instead of a cabin."""
SKIN = (214.0, 170.0, 140.0)
STEP_HZ = 1.8
"""Steps a second of a walking pedestrian, for the swing of the legs."""


def solids_of(actor: Actor, time_s: float) -> list[tuple[float, ...]]:
    """Rows as in `paint_solids`, in the odometry frame."""
    if actor.kind == PEDESTRIAN:
        return _person(actor, time_s)
    x, y, cos, sin = actor.x_m, actor.y_m, math.cos(actor.heading_rad), math.sin(actor.heading_rad)
    half_length, half_width, height = actor.length_m / 2, actor.width_m / 2, actor.height_m
    colour = VEHICLE_COLOURS[actor.colour % len(VEHICLE_COLOURS)]
    braking = 1.0 if actor.braking else 0.0
    rows: list[tuple[float, ...]] = []
    rows.append((SHADE, x, y, 0.01, cos, sin, half_length + 0.15, half_width + 0.2, 0.01, 44.0, 44.0, 48.0, 0.0))
    if height > TALL_M:
        body = (height - 0.1) / 2
        rows.append((BODY, x, y, 0.1 + body, cos, sin, half_length, half_width, body, *colour, braking))
        front = half_length - 0.02
        pane = (x + front * cos, y + front * sin)
        rows.append(
            (PLAIN, *pane, 0.66 * height, cos, sin, 0.05, 0.85 * half_width, 0.16 * height, 46.0, 56.0, 66.0, 0.0)
        )
        return rows
    body = 0.31 * height
    rows.append((BODY, x, y, 0.1 + body, cos, sin, half_length, half_width, body, *colour, braking))
    cabin, back = 0.17 * height, 0.06 * actor.length_m
    cx, cy = x - back * cos, y - back * sin
    half = 0.29 * actor.length_m
    rows.append((CABIN, cx, cy, 0.1 + 2 * body + cabin, cos, sin, half, 0.86 * half_width, cabin, *colour, braking))
    return rows


def _person(actor: Actor, time_s: float) -> list[tuple[float, ...]]:
    x, y, height = actor.x_m, actor.y_m, actor.height_m
    cos, sin = math.cos(actor.heading_rad), math.sin(actor.heading_rad)
    colour = VEHICLE_COLOURS[actor.colour % len(VEHICLE_COLOURS)]
    swing = 0.2 * math.sin(2 * math.pi * STEP_HZ * time_s + actor.actor_id) if actor.speed_mps > 0.1 else 0.03
    legs, hips = 0.24 * height, 0.12
    rows: list[tuple[float, ...]] = []
    rows.append((SHADE, x, y, 0.01, cos, sin, 0.35, 0.35, 0.01, 52.0, 52.0, 54.0, 0.0))
    for side in (1.0, -1.0):
        lx, ly = x + side * (swing * cos - hips * sin), y + side * (swing * sin + hips * cos)
        rows.append((PLAIN, lx, ly, legs, cos, sin, 0.1, 0.09, legs, 44.0, 46.0, 62.0, 0.0))
    rows.append((PLAIN, x, y, 0.65 * height, cos, sin, 0.15, 0.26, 0.18 * height, *colour, 0.0))
    rows.append((CROWN, x, y, 0.92 * height, cos, sin, 0.12, 0.12, 0.14, *SKIN, 0.0))
    return rows
