"""A verification as one HTML file: figures beside their limits, and the scenes whose plans moved furthest, drawn."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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


def worst(measured: Sequence[Measured], count: int = DRAWN) -> list[int]:
    """Indices of the scenes with the largest plan difference, largest first."""
    order = sorted(range(len(measured)), key=lambda i: -measured[i].ade_m)
    return order[:count]


def write_report(
    path: Path,
    title: str,
    figures: Mapping[str, Any],
    limits: Mapping[str, float],
    measured: Sequence[Measured],
    pictures: Mapping[int, NDArray[np.uint8]],
) -> None:
    """Write the file. `pictures[i]`: (H, W, 3) uint8, what the first camera saw last in scene i."""
    rows = "".join(_row(name, value, limits.get(name)) for name, value in figures.items())
    scenes = "".join(_scene(i, measured[i], pictures[i]) for i in worst(measured))
    path.write_text(
        f"<!doctype html><meta charset=utf-8><title>{html.escape(title)}</title><style>{STYLE}</style>"
        f"<h1>{html.escape(title)}</h1><table><tr><th>figure<th>value<th>at most</tr>{rows}</table>"
        f"<h2>Plans that moved furthest</h2><p>Grey: reference. Red: this bundle. Ego frame, forward is up; "
        f"a dot every planning step.</p>{scenes}\n",
        encoding="utf-8",
    )


def _row(name: str, value: object, limit: float | None) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else html.escape(str(value))
    missed = limit is not None and not float(str(value)) <= limit
    bound = "" if limit is None else f"{limit:.3g}"
    return f"<tr{' class=bad' if missed else ''}><td>{html.escape(name.replace('_', ' '))}<td>{text}<td>{bound}</tr>"


def _scene(index: int, scene: Measured, picture: NDArray[np.uint8]) -> str:
    fork = "same fork" if scene.fork_same else "other fork"
    words = f"scene {index}: {scene.ade_m:.2f} m apart on average, {fork}, smallest margin {scene.margin.min():.2f}"
    return f"<figure>{_image(picture)}{_plans(scene)}<figcaption>{words}</figcaption></figure>"


def _image(picture: NDArray[np.uint8]) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    content = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="what the first camera saw" height=160 src="data:image/png;base64,{content}">'


def _plans(scene: Measured) -> str:
    both = np.concatenate([scene.reference_xy, scene.found_xy, np.zeros((1, 2))])
    low, high = both.min(axis=0), both.max(axis=0)
    width, height = (high[1] - low[1]) * SCALE + 2 * MARGIN, (high[0] - low[0]) * SCALE + 2 * MARGIN
    lines = [
        _line(points, low, high, colour) for points, colour in ((scene.reference_xy, "#888"), (scene.found_xy, "#c00"))
    ]
    return f'<svg width="{max(width, 60):.0f}" height="{height:.0f}">{"".join(lines)}</svg>'


def _line(points: NDArray[np.float64], low: NDArray[Any], high: NDArray[Any], colour: str) -> str:
    x = (high[1] - points[:, 1]) * SCALE + MARGIN
    y = (high[0] - points[:, 0]) * SCALE + MARGIN
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    dots = "".join(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2" fill="{colour}"/>' for a, b in zip(x, y, strict=True))
    return f'<polyline points="{path}" fill="none" stroke="{colour}"/>{dots}'
