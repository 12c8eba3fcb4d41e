"""What the vehicle is told."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Control:
    """What the vehicle is told: longitudinal acceleration and path curvature (left positive)."""

    acceleration_mps2: float
    curvature_per_m: float
