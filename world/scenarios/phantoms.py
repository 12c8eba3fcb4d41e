"""S11: ghosts of one list and of three, jittering objects, objects that change their class, and real ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from onboard_vla.core.objects import CYCLIST, PEDESTRIAN, VEHICLE
from onboard_vla.world.scenarios.cell import Cell, Participant, Requirement
from onboard_vla.world.scenarios.lines import straight

PHANTOMS_PER_CELL = 50
SPACING_S = 0.4
"""A new ghost every so often; each is in one list."""
LASTING_PER_CELL, LASTING_SPACING_S = 6, 4.0
FALLBACK = 2
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
        need = Requirement(braking_mps2=FALSE_BRAKE_MPS2, follower=True)
        yield _cell(f"ghosts_{seed:02d}", tuple(ghosts), need, duration, seed < 2)


def jitters() -> Iterator[Cell]:
    """Vehicles in the next lane whose reported position jitters by up to a metre: no false brake."""
    for seed in range(6):
        beside = tuple(
            Participant(15.0 + 20.0 * k, 3.7, ((0.0, 13.0),), jitter_m=0.3 if seed % 2 else 0.5) for k in range(3)
        )
        need = Requirement(braking_mps2=FALSE_BRAKE_MPS2, follower=True)
        yield _cell(f"jitter_{seed}", beside, need, 15.0, seed < 2, seed)


def real_ones() -> Iterator[Cell]:
    """A standing vehicle that perception reports with jitter must be stopped for."""
    for seed in range(4):
        real = (Participant(70.0, jitter_m=0.3),)
        yield _cell(f"real_{seed}", real, Requirement(least_gap_m=0.3, stands=True), 20.0, seed < 1, seed)


def lasting_ghosts() -> Iterator[Cell]:
    """Ghosts of three lists in front of the vehicle, the longest that the declared sensors make: no stop for them."""
    for seed in range(6):
        rng = np.random.default_rng(1130 + seed)
        ghosts = []
        for k in range(LASTING_PER_CELL):
            list_s = 1.0 + LASTING_SPACING_S * k
            ahead, pace = float(rng.uniform(3.0, 12.0)), float(rng.uniform(4.0, 9.0))
            ghosts.append(
                Participant(
                    14.0 * list_s - pace * list_s + ahead, float(rng.uniform(-0.8, 0.8)), ((0.0, pace),),
                    visible_s=(list_s - 0.03, list_s + 0.23), real=False,
                )
            )  # fmt: skip
        need = Requirement(highest_mode=FALLBACK)
        yield _cell(f"lasting_{seed}", tuple(ghosts), need, 1.0 + LASTING_SPACING_S * LASTING_PER_CELL, seed < 1)


def flips() -> Iterator[Cell]:
    """Objects whose class changes with every list: beside the lane and ahead no reason to brake, in the way one."""
    kinds = (VEHICLE, PEDESTRIAN, CYCLIST)
    calm = Requirement(braking_mps2=FALSE_BRAKE_MPS2, follower=True, highest_mode=FALLBACK)
    beside = tuple(Participant(15.0 + 20.0 * k, 3.7, ((0.0, 13.0),), flips=kinds) for k in range(3))
    yield _cell("flip_beside", beside, calm, 15.0, True)
    yield _cell("flip_ahead", (Participant(30.0, 0.0, ((0.0, 14.0),), flips=kinds),), calm, 15.0, True)
    for seed, jitter in enumerate((0.0, 0.3)):
        real = (Participant(70.0, flips=kinds, jitter_m=jitter),)
        yield _cell(f"flip_real_{seed}", real, Requirement(least_gap_m=0.3, stands=True), 20.0, seed < 1, seed)


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
