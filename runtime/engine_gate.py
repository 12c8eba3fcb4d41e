"""The parity gate of an engine that was built on the target: how far it may be from the float32 model.

The bundle's core says how far its own graphs are (`parity`, measured at the export in ONNX Runtime). The same graphs
compiled for a GPU round elsewhere; more than that is a wrong engine. Bounds follow from the core alone, so whoever
opens an engine holds its figures against them again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from typing import Any

from onboard_vla.core.bundle_manifest import BundleManifest
from onboard_vla.core.errors import BundleError

COSINE_FACTOR, COSINE_SLACK = 2.0, 1e-3
"""What is missing to a cosine of 1 may double, and by this much more where nothing is missing."""
AGREEMENT_SLACK = 0.05
"""One step in twenty may choose otherwise: near ties that any rounding decides. `preference_loss_max` judges those."""
SPREAD_SHARE = 0.05
"""Of the reference's spread: thresholds were chosen on the bundle's own signals, and must mean the same here."""
RANDOM = "no golden scenes: the gate ran on random pictures"
TIE = log(2)
"""Nats: an action that the reference holds less than half as likely as its own is no tie."""


@dataclass(frozen=True)
class GateBound:
    """A figure of the gate must be at most `most`, or at least `least`; `size`: its magnitude counts."""

    figure: str
    least: float = float("-inf")
    most: float = float("inf")
    size: bool = False

    def miss(self, figures: Mapping[str, float]) -> str | None:
        """How the figure misses its bound, in words. A figure that is absent or NaN does."""
        found = figures.get(self.figure, float("nan"))
        found = abs(found) if self.size else found
        if self.least <= found <= self.most:
            return None
        bound = f"at least {self.least:.4g}" if self.most == float("inf") else f"at most {self.most:.4g}"
        return f"{self.figure} is {found:.4g}, {bound} is expected"


def gate_bounds(parity: Mapping[str, Any]) -> tuple[GateBound, ...]:
    """Bounds for the engines of a bundle with these parity figures in its manifest.

    Raises:
        BundleError: the bundle was exported without golden scenes.
    """
    needed = ("cosine_mean", "token_agreement", "spread_m", "spread_shift_m", "preference_loss_max", "fork_loss_max")
    if missing := [name for name in needed if not isinstance(parity.get(name), (int, float))]:
        raise BundleError(
            f"the bundle's manifest has no {', '.join(missing)}: no engine of it can be judged; "
            "export it with golden scenes"
        )
    limits = dict(parity.get("limits", {}))
    for name in ("preference_loss_max", "fork_loss_max"):
        # Where the golden scenes are random ones nothing was judged, and near ties abound.
        limits.setdefault(name, max(TIE, COSINE_FACTOR * parity[name]))
    return (
        GateBound("cosine_mean", least=1 - COSINE_FACTOR * (1 - parity["cosine_mean"]) - COSINE_SLACK),
        GateBound("token_agreement", least=parity["token_agreement"] - AGREEMENT_SLACK),
        GateBound("spread_shift_m", most=abs(parity["spread_shift_m"]) + SPREAD_SHARE * parity["spread_m"], size=True),
        *(GateBound(name, most=float(bound)) for name, bound in limits.items()),
    )


def gate_unjudged(manifest: BundleManifest) -> tuple[str, ...]:
    """What the gate leaves unjudged, in words: what the export did, and everything where scenes are random ones."""
    return manifest.unjudged if "limits" in manifest.parity else (*manifest.unjudged, RANDOM)


def gate_misses(figures: Mapping[str, float], parity: Mapping[str, Any]) -> list[str]:
    """Bounds that an engine's figures miss, in words."""
    return [words for bound in gate_bounds(parity) if (words := bound.miss(figures)) is not None]
