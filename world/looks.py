"""Fog, rain and night over a picture that was painted by day, from its depth; and lamps that shine by themselves.

Training sees the day alone, so each of the others is a look that was held out of it.

Sources: attenuation and airlight, Koschmieder (1924); visibility as the distance of 5 % contrast, WMO No. 8; the beam's
inverse square, any photometry. The strengths are choices, made to look right.
"""

# mypy: disable-error-code="no-untyped-def"
# ruff: noqa: ANN001, ANN202
from __future__ import annotations

import math
from collections.abc import Sequence

import numba
import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.errors import ArgumentError
from onboard_vla.core.objects import PEDESTRIAN
from onboard_vla.world.actors import Actor
from onboard_vla.world.appearance import TALL_M
from onboard_vla.world.paint_ground import speckle
from onboard_vla.world.paint_solids import GLOW
from onboard_vla.world.render_geometry import NEVER_M, CameraRays

DAY, FOG, RAIN, NIGHT = "day", "fog", "rain", "night"
LOOKS = (DAY, FOG, RAIN, NIGHT)
VISIBILITY_M = {FOG: 60.0, RAIN: 250.0}
"""Where contrast has sunk to 5 %: dense fog, heavy rain."""
EXTINCTION = -math.log(0.05)
AIRLIGHT = {FOG: (198.0, 202.0, 206.0), RAIN: (138.0, 144.0, 150.0)}
RAIN_LIGHT = 0.62
"""Light under rain clouds, as a share of the day's."""
STREAKS_PER_PIXEL, STREAK_SHARE, STREAK_GAIN = 1 / 900, 0.05, 34.0
"""Drops caught in one picture; a streak's length as a share of the picture's height; how much it brightens."""
MOONLIGHT, SKY_AT_NIGHT = 0.035, 0.05
BEAM_M, BEAM_HALF_RAD, BEAM_DOWN = 22.0, 0.42, 0.06
"""Where the head lamps' light equals the day's, how far their beam spreads, and how far it dips below the horizon."""
HEAD_LAMP, TAIL_LAMP, BRAKE_LAMP = (255.0, 250.0, 225.0), (120.0, 8.0, 8.0), (255.0, 34.0, 24.0)
LAMP_PROUD_M = 0.03
"""Lamps are drawn this far in front of the body that carries them, or the body would hide them."""


def require_look(look: str) -> None:
    """Raises: ArgumentError: there is no such look."""
    if look not in LOOKS:
        raise ArgumentError(f"look {look!r}: expected one of {', '.join(LOOKS)}")


def change_look(
    look: str, image: NDArray[np.uint8], depth: NDArray[np.float32], rays: CameraRays, light: float, instant: int
) -> None:
    """Change a picture that was painted by day, in place.

    Args:
        look: one of `LOOKS`.
        image: (H, W, 3).
        depth: (H, W) metres along the ray, `NEVER_M` for sky.
        rays: the camera's.
        light: the world's daylight, about 1.
        instant: places the drops of rain; another one, other drops.
    """
    if look in (FOG, RAIN):
        dimmed = RAIN_LIGHT if look == RAIN else 1.0
        _veil(image, depth, EXTINCTION / VISIBILITY_M[look], dimmed, *(c * light for c in AIRLIGHT[look]))
    if look == RAIN:
        height, width = depth.shape
        _streaks(image, instant, round(height * width * STREAKS_PER_PIXEL), max(round(height * STREAK_SHARE), 2))
    if look == NIGHT:
        _night(image, depth, rays.directions)


def lamps_of(actors: Sequence[Actor]) -> list[tuple[float, ...]]:
    """What shines by itself at night: head, tail and brake lamps of vehicles; rows as in `paint_solids`."""
    rows: list[tuple[float, ...]] = []
    for actor in actors:
        if actor.kind == PEDESTRIAN:
            continue
        cos, sin = math.cos(actor.heading_rad), math.sin(actor.heading_rad)
        up = 0.9 if actor.height_m > TALL_M else 0.65
        rear = BRAKE_LAMP if actor.braking else TAIL_LAMP
        for forward, colour in ((1.0, HEAD_LAMP), (-1.0, rear)):
            ahead = forward * (actor.length_m / 2 + LAMP_PROUD_M)
            for side in (1.0, -1.0):
                across = side * 0.38 * actor.width_m
                x, y = actor.x_m + ahead * cos - across * sin, actor.y_m + ahead * sin + across * cos
                rows.append((GLOW, x, y, up, cos, sin, 0.02, 0.2, 0.1, *colour, 0.0))
    return rows


@numba.njit(cache=True)
def _veil(image, depth, extinction, dimmed, r, g, b):
    """Koschmieder: what is seen is what is left of the object's light, and the airlight that came in on the way."""
    for row in range(depth.shape[0]):
        for column in range(depth.shape[1]):
            left = 0.0 if depth[row, column] >= NEVER_M else np.exp(-extinction * depth[row, column])
            image[row, column, 0] = np.uint8(min(left * dimmed * image[row, column, 0] + (1 - left) * r, 255.0))
            image[row, column, 1] = np.uint8(min(left * dimmed * image[row, column, 1] + (1 - left) * g, 255.0))
            image[row, column, 2] = np.uint8(min(left * dimmed * image[row, column, 2] + (1 - left) * b, 255.0))


@numba.njit(cache=True)
def _streaks(image, instant, count, length):
    height, width = image.shape[0], image.shape[1]
    for n in range(count):
        column = int(speckle(3 * n, instant) * width)
        top = int(speckle(3 * n + 1, instant) * height)
        reach = max(int(length * (0.5 + speckle(3 * n + 2, instant))), 1)
        for row in range(top, min(top + reach, height)):
            for channel in range(3):
                image[row, column, channel] = np.uint8(min(image[row, column, channel] + STREAK_GAIN, 255.0))


@numba.njit(cache=True)
def _night(image, depth, directions):
    """Moonlight, and the ego vehicle's dipped beam: inverse square, fading to its sides and above."""
    for row in range(depth.shape[0]):
        for column in range(depth.shape[1]):
            distance = depth[row, column]
            if distance >= NEVER_M:
                gain = SKY_AT_NIGHT
            else:
                gain = MOONLIGHT
                x, y, z = directions[row, column, 0], directions[row, column, 1], directions[row, column, 2]
                if x > 0:
                    side, up = np.arctan2(y, x) / BEAM_HALF_RAD, (z + BEAM_DOWN) / BEAM_DOWN
                    lobe = np.exp(-side * side) / (1.0 + np.exp(6.0 * up))
                    gain += lobe * min((BEAM_M / distance) ** 2, 1.0)
            for channel in range(3):
                image[row, column, channel] = np.uint8(min(image[row, column, channel] * gain, 255.0))
