"""One picture for people: six cameras with the plan drawn in, who drives and why, doubt, and the road from above."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from onboard_vla.core.camera_rig import project, ribbon
from onboard_vla.core.cameras import (
    BACK,
    BACK_LEFT,
    BACK_RIGHT,
    FRONT,
    FRONT_LEFT,
    FRONT_RIGHT,
    CameraCalibration,
    EncodedPicture,
    Picture,
)
from onboard_vla.core.clock import Now
from onboard_vla.core.errors import FrameError
from onboard_vla.ros_nodes.mode_colours import COLOURS
from onboard_vla.ros_nodes.plan_scene import PlanScene
from onboard_vla.ros_nodes.plan_words import words_of
from onboard_vla.runtime.jpeg import FACTORS

ARRANGEMENT = (FRONT_LEFT, FRONT, FRONT_RIGHT, BACK_LEFT, BACK, BACK_RIGHT)
"""Two rows of three, as one looks around."""
COLUMNS, ROWS = 3, 2
GREY, INK, PALE, WHITE, PLANNED = (72, 72, 72), (20, 20, 20), (225, 225, 225), (255, 255, 255), (0, 120, 90)
NO_MODE = (120, 120, 120)
ALPHA = 140
"""Of 255: the road must be seen through the trajectory."""
LINES, LINE_PX, MARGIN_PX = 10, 17, 6
FARTHEST_PX = 10_000.0
"""Pixels beyond this are far outside of every picture; drawn lines end there."""
AHEAD_M, BEHIND_M = 50.0, 10.0
"""What the view from above shows."""

Rig = Callable[[int, int], Mapping[str, CameraCalibration]]
"""The cameras for pictures of a width and a height."""
Array = NDArray[np.float64]


def draw(scene: PlanScene, rig: Rig | None, tile_px: int, now: Now) -> NDArray[np.uint8]:
    """The picture (H, W, 3) uint8 RGB, three tiles wide. Without a rig nothing is drawn into the cameras."""
    tile_height = tile_px * 9 // 16
    band = LINES * LINE_PX + 2 * MARGIN_PX
    size = COLUMNS * tile_px, ROWS * tile_height + band
    whole = Image.new("RGB", size, INK)
    for place, camera in enumerate(ARRANGEMENT):
        corner = place % COLUMNS * tile_px, place // COLUMNS * tile_height
        whole.paste(_tile(scene, camera, rig, (tile_px, tile_height), now), corner)
    below = ROWS * tile_height
    _write(whole, scene, rig is not None, (2 * tile_px, below), now)
    whole.paste(_above(scene, (tile_px, band), now), (2 * tile_px, below))
    return np.asarray(whole)


def _tile(scene: PlanScene, camera: str, rig: Rig | None, size: tuple[int, int], now: Now) -> Image.Image:
    """Grey with words where there is no picture: black would look like a camera in the dark."""
    tile = Image.new("RGB", size, GREY)
    seen = scene.seen(camera, now)
    words = camera.replace("_", " ")
    if seen.picture is None:
        _label(tile, f"{words}: {seen.problem}")
        return tile
    try:
        pixels = _shrunk(seen.picture, size)
    except FrameError as error:
        _label(tile, f"{words}: damaged: {error}")
        return tile
    height, width = seen.picture.shape[:2]
    scale = min(size[0] / width, size[1] / height)
    shown = Image.fromarray(pixels).resize((round(width * scale), round(height * scale)), Image.Resampling.BILINEAR)
    pose = scene.pose_at(seen.stamp_ns)
    if rig is not None and pose is not None:
        _draw_plan(shown, scene, rig(width, height)[camera], scale, pose)
    elif rig is not None:
        words += ": no ego state for this picture"
    tile.paste(shown, ((size[0] - shown.width) // 2, (size[1] - shown.height) // 2))
    _label(tile, words)
    return tile


def _shrunk(picture: Picture, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The pixels, by a JPEG's cheap way no larger than needed.

    Raises:
        FrameError: the file is damaged.
    """
    if not isinstance(picture, EncodedPicture):
        return picture
    height, width = picture.shape[:2]
    fitting = [factor for factor in FACTORS if width // factor >= size[0] and height // factor >= size[1]]
    return picture.pixels(max(fitting, default=1))


def _draw_plan(shown: Image.Image, scene: PlanScene, camera: CameraCalibration, scale: float, pose: Array) -> None:
    left, right = ribbon(scene.driven_seen_from(pose))
    pen = ImageDraw.Draw(shown, "RGBA")
    if len(left):
        (a, a_seen), (b, b_seen) = (_pixels(camera, edge, scale) for edge in (left, right))
        for run in _runs(a_seen & b_seen):
            corners = [tuple(corner) for corner in np.concatenate((a[run], b[run][::-1])).tolist()]
            pen.polygon(corners, fill=(*_colour(scene), ALPHA))
    planned = scene.planned_seen_from(pose)
    dots, visible = _pixels(camera, np.hstack([planned, np.zeros((len(planned), 1))]), scale)
    for x, y in dots[visible].tolist():
        pen.ellipse((x - 3, y - 3, x + 3, y + 3), fill=WHITE, outline=PLANNED, width=2)


def _runs(visible: NDArray[np.bool_]) -> list[slice]:
    """Where it is true for two places or more on end."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], visible, [False])).astype(np.int8)))
    return [slice(begin, end) for begin, end in edges.reshape(-1, 2).tolist() if end - begin > 1]


def _pixels(camera: CameraCalibration, points: Array, scale: float) -> tuple[Array, NDArray[np.bool_]]:
    pixels, visible = project(camera, points)
    return np.clip(pixels * scale, -FARTHEST_PX, FARTHEST_PX), visible


def _colour(scene: PlanScene) -> tuple[int, int, int]:
    if scene.safe is None:
        return NO_MODE
    red, green, blue = COLOURS[scene.safe.mode]
    return round(red * 255), round(green * 255), round(blue * 255)


def _label(tile: Image.Image, words: str) -> None:
    pen = ImageDraw.Draw(tile, "RGBA")
    lines = "\n".join(textwrap.wrap(words, max(12, tile.width // 8)))
    box = pen.multiline_textbbox((4, 3), lines, font=_font(13))
    pen.rectangle((0, 0, box[2] + 4, box[3] + 4), fill=(0, 0, 0, ALPHA))
    pen.multiline_text((4, 3), lines, fill=WHITE, font=_font(13))


def _write(whole: Image.Image, scene: PlanScene, has_rig: bool, end: tuple[int, int], now: Now) -> None:
    """Words in the mode's colour and below it; `end`: the right edge and the upper edge in pixels."""
    right, top = end
    pen = ImageDraw.Draw(whole)
    pen.rectangle((0, top, 2 * MARGIN_PX, whole.height), fill=_colour(scene))
    lines: list[str] = []
    for line in words_of(scene, has_rig, now):
        lines += textwrap.wrap(line, max(20, right // 8), subsequent_indent="    ")
    if len(lines) > LINES:
        lines = [*lines[: LINES - 1], f"... {len(lines) - LINES + 1} more lines"]
    for place, line in enumerate(lines):
        pen.text((4 * MARGIN_PX, top + MARGIN_PX + place * LINE_PX), line, fill=PALE, font=_font(14))


def _above(scene: PlanScene, size: tuple[int, int], now: Now) -> Image.Image:
    """The vehicle, the given trajectory as a line and the model's plan as dots; the vehicle drives to the right."""
    view = Image.new("RGB", size, GREY)
    pen = ImageDraw.Draw(view)
    scale = size[0] / (AHEAD_M + BEHIND_M)
    stamp_ns = scene.stamp_ns
    pose = None if stamp_ns is None else scene.pose_at(stamp_ns)
    for ahead_m in range(0, int(AHEAD_M), 10):
        x = (ahead_m + BEHIND_M) * scale
        pen.line((x, 0, x, size[1]), fill=(95, 95, 95))
        pen.text((x + 2, size[1] - 14), f"{ahead_m} m", fill=PALE, font=_font(11))

    def at(x_m: float, y_m: float) -> tuple[float, float]:
        return (x_m + BEHIND_M) * scale, size[1] / 2 - y_m * scale

    if pose is None:
        pen.text((MARGIN_PX, MARGIN_PX), "no ego state", fill=WHITE, font=_font(13))
        return view
    pen.rectangle((*at(-1.0, 0.9), *at(3.9, -0.9)), fill=INK)
    driven = [at(x, y) for x, y in scene.driven_seen_from(pose).tolist()]
    if len(driven) > 1:
        pen.line(driven, fill=_colour(scene), width=5)
    for x, y in scene.planned_seen_from(pose).tolist():
        u, v = at(x, y)
        pen.ellipse((u - 3, v - 3, u + 3, v + 3), fill=WHITE, outline=PLANNED, width=2)
    return view


_FONTS: dict[int, ImageFont.ImageFont | ImageFont.FreeTypeFont] = {}


def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    if size not in _FONTS:
        _FONTS[size] = ImageFont.load_default(size)
    return _FONTS[size]
