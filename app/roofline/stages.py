"""The stages of a plan, and what each costs on any machine: counted from graphs at the sizes of one plan.

Steady state: one pair of pictures per camera is new, the other pairs' embeddings are known, and so are the keys and
values of the prompt's first text. Cold: nothing is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from onboard_vla.export.graph_cost import NOTHING, Cost, CountedGraph
from onboard_vla.kernels.images import ROW, PictureLayout
from onboard_vla.kernels.reference_images import crop_box
from onboard_vla.kernels.resize_tables import resize_axis

PATCHES, VISION, PREFILL, DECODE, HEAD = "patches", "vision", "prefill", "decode step", "head"
STAGES = (PATCHES, VISION, PREFILL, DECODE, HEAD)
CHANNELS, PER_PAIR = 3, 2
PREFILL_ROWS = 2
"""Logits of the fork, and of the first action."""


@dataclass(frozen=True)
class View:
    """Cameras of one picture size: the model's graph for them, where the pictures are cut, how many cameras."""

    graph: str
    width: int
    height: int
    grid_h: int
    grid_w: int
    crop: tuple[float, float, float, float]
    cameras: int


@dataclass(frozen=True)
class PlanSizes:
    """How much goes into one plan.

    `source`: width and height of cameras' pictures. `prompt`: tokens; of these `kept` come before the first picture.
    `forced`: tokens of the fast prefix, which ride along in the prefill.
    """

    views: tuple[View, ...]
    pairs_per_camera: int
    source: tuple[int, int]
    prompt: int
    kept: int
    forced: int

    @property
    def cameras(self) -> int:
        """Of all sizes."""
        return sum(view.cameras for view in self.views)

    def pairs(self, view: View, *, cold: bool) -> int:
        """Pairs of pictures that are encoded for a plan."""
        return view.cameras * (self.pairs_per_camera if cold else 1)

    def prefill(self, *, cold: bool) -> tuple[int, int]:
        """New and known tokens of the prefill."""
        known = 0 if cold else self.kept
        return self.prompt + self.forced - known, known


def layout_of(view: View, source: tuple[int, int]) -> PictureLayout:
    """How a camera's pictures are cut and shrunk."""
    return PictureLayout(*source, crop_box(*source, view.crop), view.width, view.height)


def language_extents(new: int, past: int, rows: int) -> dict[str, int]:
    """Sizes of the language graph's open dimensions."""
    extents = {"new_tokens": new, "past_tokens": past, "total_tokens": new + past, "wanted_rows": rows}
    return {**extents, "wanted_action_rows": 0}


def costs(
    sizes: PlanSizes, vision: Mapping[str, CountedGraph], language: CountedGraph, *, cold: bool
) -> dict[str, Cost]:
    """Cost of one run of every stage; the head is part of the decode step."""
    seen = [vision[view.graph].cost({"items": sizes.pairs(view, cold=cold)}) for view in sizes.views]
    patches = [_patches(view, sizes.source).times(sizes.pairs(view, cold=cold)) for view in sizes.views]
    step = language_extents(1, sizes.prompt + sizes.forced, 1)
    return {
        PATCHES: sum(patches, NOTHING),
        VISION: sum(seen, NOTHING),
        PREFILL: language.cost(language_extents(*sizes.prefill(cold=cold), PREFILL_ROWS)),
        DECODE: language.cost(step),
        HEAD: language.cost(step, lambda node: node.startswith(("head/", "head."))),
    }


def _patches(view: View, source: tuple[int, int]) -> Cost:
    """One pair: each cut pixel read, each patch written; multiplications and additions of both resize passes."""
    layout = layout_of(view, source)
    left, top, right, bottom = layout.crop
    across, down = resize_axis(right - left, view.width), resize_axis(bottom - top, view.height)
    taps = int(across.bounds[:, 1].sum()) * (bottom - top) + int(down.bounds[:, 1].sum()) * view.width
    pixels = (right - left) * (bottom - top)
    work = PER_PAIR * CHANNELS
    return Cost(0, 0, work * 2 * taps, layout.patches * ROW, work * pixels)
