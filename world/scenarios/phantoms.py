"""S11: ghosts of one list, jittering and changing objects beside the lane, and a real object."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from onboard_vla.core.objects import PEDESTRIAN, VEHICLE
from onboard_vla.world.scenarios.cell import Cell, Participant, Requirement
from onboard_vla.world.scenarios.lines import straight

PHANTOMS_PER_CELL = 50
SPACING_S = 0.4
"""A new ghost every so often; each is in one list."""
FALSE_BRAKE_MPS2 = 2.0
"""Braking harder than this for a ghost is a false brake."""


def phantoms() -> Iterator[Cell]:
    """Ghosts of one list in front of the vehicle: 20 cells of 50."""
    for seed in range(20):
        rng = np.random.default_rng(1100 + seed)
        speed = 14.0
        ghosts = []
        for k in range(PHANTOMS_PER_CELL):
            time_s = 0.5 + k * SPACING_S
            list_s = round(time_s / 0.1) * 0.1
            ahead = float(rng.uniform(8.0, 50.0))
            kind = PEDESTRIAN if rng.uniform() < 0.3 else VEHICLE
            size = (0.5, 0.5) if kind == PEDESTRIAN else (4.3, 1.9)
            ghosts.append(
                Participant(
                    speed * list_s + ahead,
                    float(rng.uniform(-0.8, 0.8)),
                    kind=kind,
                    length_m=size[0],
                    width_m=size[1],
                    visible_s=(list_s - 0.03, list_s + 0.03),
                    real=False,
                )
            )
        duration = 0.5 + PHANTOMS_PER_CELL * SPACING_S + 1.0
        yield _cell(f"ghosts_{seed:02d}", tuple(ghosts), Requirement(braking_mps2=FALSE_BRAKE_MPS2), duration, seed < 2)


def jitters() -> Iterator[Cell]:
    """Vehicles in the next lane whose reported position jitters by up to a metre: no false brake."""
    for seed in range(6):
        beside = tuple(
            Participant(15.0 + 20.0 * k, 3.7, ((0.0, 13.0),), jitter_m=0.3 if seed % 2 else 0.5) for k in range(3)
        )
        need = Requirement(braking_mps2=FALSE_BRAKE_MPS2)
        yield _cell(f"jitter_{seed}", beside, need, 15.0, seed < 2, seed)


def real_ones() -> Iterator[Cell]:
    """A standing vehicle that perception reports with jitter must be stopped for."""
    for seed in range(4):
        real = (Participant(70.0, jitter_m=0.3),)
        yield _cell(f"real_{seed}", real, Requirement(least_gap_m=0.3, stands=True), 20.0, seed < 1, seed)


def _cell(
    name: str, others: tuple[Participant, ...], need: Requirement, duration_s: float, quick: bool, seed: int = 0
) -> Cell:
    return Cell(
        family="S11",
        name=name,
        parameters={"objects": len(others)},
        speed_mps=14.0,
        participants=others,
        requirement=need,
        duration_s=duration_s,
        line=straight(),
        quick=quick,
        seed=seed,
    )
