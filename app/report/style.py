"""Colours and drawing defaults: one palette for all, readable in print and by the colour-blind."""

from __future__ import annotations

import base64
import io

import matplotlib
import numpy as np
from matplotlib.figure import Figure, SubFigure

MODE_COLOURS = {0: "#0072B2", 1: "#56B4E9", 2: "#E69F00", 3: "#D55E00", 4: "#B00020", 5: "#5B5B5B"}
"""By mode's value; blue drives, orange falls back, red stops (after Okabe and Ito)."""
PLAN_COLOUR = "#009E73"
TRAFFIC_COLOUR = "#8C6BB1"
FAULT_COLOUR = "#F0C9C4"
VIOLATION_COLOUR = "#B00020"
ROAD_COLOUR = "#E9E9E6"
INK, PALE_INK = "#222222", "#8A8A8A"
FONT_SIZE = 8.5

RC = {
    "font.family": "DejaVu Sans",
    "font.size": FONT_SIZE,
    "axes.edgecolor": PALE_INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": FONT_SIZE + 0.5,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "onboard-vla",
}


def use_style() -> None:
    """Set matplotlib's defaults for this process; needs no display."""
    matplotlib.rcParams.update(RC)


def new_figure(width: float, height: float) -> Figure:
    """A figure of this size in inches, without pyplot's global state."""
    use_style()
    figure = Figure(figsize=(width, height), layout="constrained")
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.set(w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01)
    return figure


def rows_of(figure: Figure, heights: list[float]) -> list[SubFigure]:
    """Split a figure into rows of these relative heights."""
    return list(np.ravel(np.asarray(figure.subfigures(len(heights), 1, height_ratios=heights), dtype=object)))


def inline_svg(figure: Figure) -> str:
    """The figure as an <svg> element, without XML prologue, date, or anything to fetch."""
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]


def inline_png(figure: Figure, dots_per_inch: int = 130) -> str:
    """The figure as an <img> element with its data inside; for figures made of pictures."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=dots_per_inch, metadata={"Software": None})
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}">'
