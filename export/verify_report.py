"""A verification as one HTML file: figures beside their limits, stages, and the scenes whose plans moved furthest."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.codebook import Codebook
from onboard_vla.export.scenes import Scene
from onboard_vla.export.stage_parity import StageFigures
from onboard_vla.export.verify import Measured

DRAWN = 8
"""Scenes drawn, those with the largest difference first."""
SCALE, MARGIN = 4.0, 12.0
"""Pixels per metre, and pixels around a drawing."""
STYLE = (
    "body{font:15px sans-serif;margin:2em;max-width:70em}table{border-collapse:collapse}"
    "td,th{border:1px solid #bbb;padding:.25em .6em;text-align:left}figure{display:inline-block;margin:1em}"
    ".bad{background:#fbd5d5}"
)


@dataclass(frozen=True, eq=False)
class Drawn:
    """`picture`: (H, W, 3) uint8, what the first camera saw last; `expert_xy`: (T, 2) metres, None if not known."""

    picture: NDArray[np.uint8]
    expert_xy: NDArray[np.float64] | None


class Worst:
    """Keeps what is drawn of the scenes with the largest plan difference, however many there are."""

    def __init__(self, codebook: Codebook, count: int = DRAWN) -> None:
        self._codebook, self._count = codebook, count
        self._ade_m: dict[int, float] = {}
        self.kept: dict[int, Drawn] = {}

    def offer(self, index: int, measured: Measured, scene: Scene) -> None:
        """Scene number `index` was measured."""
        self._ade_m[index] = measured.ade_m
        expert = None
        if scene.expert_tokens is not None:
            expert = self._codebook.decode(scene.expert_tokens)[0][:, :2].astype(np.float64)
        self.kept[index] = Drawn(next(iter(scene.images.values()))[-1].copy(), expert)
        if len(self.kept) > self._count:
            del self.kept[max(self.kept, key=lambda i: (-self._ade_m[i], i))]

    def order(self) -> list[int]:
        """Scenes to draw, the largest difference first."""
        return sorted(self.kept, key=lambda i: (-self._ade_m[i], i))


def write_report(
    path: Path,
    title: str,
    figures: Mapping[str, Any],
    limits: Mapping[str, float],
    measured: Sequence[Measured],
    worst: Worst,
    stages: Sequence[StageFigures] = (),
) -> None:
    """Write the file; its folder is made."""
    rows = "".join(_row(name, value, limits.get(name)) for name, value in figures.items())
    scenes = "".join(_scene(i, measured[i], worst.kept[i]) for i in worst.order())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"<!doctype html><meta charset=utf-8><title>{html.escape(title)}</title><style>{STYLE}</style>"
        f"<h1>{html.escape(title)}</h1><table><tr><th>figure<th>value<th>at most</tr>{rows}</table>{_stages(stages)}"
        f"<h2>Plans that moved furthest</h2><p>Grey: reference. Red: this bundle. Green: the expert. Ego frame, "
        f"forward is up; a dot every planning step.</p>{scenes}\n",
        encoding="utf-8",
    )


def _stages(stages: Sequence[StageFigures]) -> str:
    if not stages:
        return ""
    rows = "".join(
        f"<tr><td>{html.escape(s.stage)}<td>{s.vectors}<td>{s.cosine_mean:.6f}<td>{s.cosine_min:.6f}"
        f"<td>{s.error_max:.3g}<td>{s.reference_rms:.3g}</tr>"
        for s in stages
    )
    head = "<tr><th>stage<th>vectors<th>cosine, mean<th>cosine, least<th>largest error<th>root mean square</tr>"
    return f"<h2>Stage by stage against transformers, along the same tokens</h2><table>{head}{rows}</table>"


def _row(name: str, value: object, limit: float | None) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else html.escape(str(value))
    missed = limit is not None and not float(str(value)) <= limit
    bound = "" if limit is None else f"{limit:.3g}"
    return f"<tr{' class=bad' if missed else ''}><td>{html.escape(name.replace('_', ' '))}<td>{text}<td>{bound}</tr>"


def _scene(index: int, scene: Measured, drawn: Drawn) -> str:
    fork = "same fork" if scene.fork_same else "other fork"
    parted = f"parted at a margin of {scene.parted_margin:.2f} nats" if scene.parted else "same tokens"
    words = f"scene {index}: {scene.ade_m:.2f} m apart on average, {parted}, {fork}"
    return f"<figure>{_image(drawn.picture)}{_plans(scene, drawn)}<figcaption>{words}</figcaption></figure>"


def _image(picture: NDArray[np.uint8]) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    content = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="what the first camera saw" height=160 src="data:image/png;base64,{content}">'


def _plans(scene: Measured, drawn: Drawn) -> str:
    plans = [(scene.reference_xy, "#888"), (scene.found_xy, "#c00")]
    if drawn.expert_xy is not None:
        plans.insert(0, (drawn.expert_xy, "#2a2"))
    both = np.concatenate([*(points for points, _ in plans), np.zeros((1, 2))])
    low, high = both.min(axis=0), both.max(axis=0)
    width, height = (high[1] - low[1]) * SCALE + 2 * MARGIN, (high[0] - low[0]) * SCALE + 2 * MARGIN
    lines = [_line(points, low, high, colour) for points, colour in plans]
    return f'<svg width="{max(width, 60):.0f}" height="{height:.0f}">{"".join(lines)}</svg>'


def _line(points: NDArray[np.float64], low: NDArray[Any], high: NDArray[Any], colour: str) -> str:
    x = (high[1] - points[:, 1]) * SCALE + MARGIN
    y = (high[0] - points[:, 0]) * SCALE + MARGIN
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    dots = "".join(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2" fill="{colour}"/>' for a, b in zip(x, y, strict=True))
    return f'<polyline points="{path}" fill="none" stroke="{colour}"/>{dots}'
