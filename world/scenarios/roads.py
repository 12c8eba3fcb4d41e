"""S5, S7, S8, S10, S12, S13: curves, low friction, stops, road's end, switch-over, speed range and hills."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.world.scenarios.cell import (
    FALLBACK_TIME,
    LANES_SILENT,
    OBJECTS_SILENT,
    OPERATOR,
    Cell,
    Participant,
    Requirement,
)
from onboard_vla.world.scenarios.lines import Line, curve, s_curve, straight

GRAVITY = 9.81
LANE_M = 3.5
FROM_MODEL_S = 4.0
"""The model drives from 2 s on, in the bend's spiral or behind it."""
RED_M = {50: 100.0, 80: 152.0}
"""km/h, and where the light is, from the vehicle's front at time 0: as the stop begins, more than 2 m/s2 is needed."""
RED_QUICK = {(50, OBJECTS_SILENT), (80, OPERATOR)}
FROM_MODEL_QUICK = {(200.0, OBJECTS_SILENT), (-400.0, OPERATOR), (700.0, LANES_SILENT)}


def curves() -> Iterator[Cell]:
    """S5: bends of 30 to 250 m radius from speeds that they do not allow, either side, and S-bends."""
    need = Requirement(lateral_mps2=3.0, lateral_jerk_mps3=5.0, offset_m=0.30)
    for radius, kmh in ((30.0, 40), (50.0, 50), (100.0, 70), (250.0, 100)):
        for side in (1.0, -1.0):
            line = curve(side * radius, length_m=150.0 + 4.0 * radius)
            yield _road("S5", f"{side * radius:g}", line, kmh, need, 16.0, quick=radius in (30.0, 100.0), sight_m=80.0)
        yield _road("S5", f"s_{radius:g}", s_curve(radius), kmh, need, 20.0, quick=radius == 50.0)


def low_friction() -> Iterator[Cell]:
    """S7: a standing vehicle, and a bend of 50 m, at friction that the driver is told; ice that nobody announced."""
    for mu in (0.8, 0.5, 0.3, 0.15):
        grip = 0.8 * mu * GRAVITY
        gap = (50 / 3.6) ** 2 / (2 * 0.55 * grip) + 20.0
        lead = Participant(gap)
        need = Requirement(least_gap_m=0.5, stands=True)
        yield _road("S7", f"stop_{mu:g}", straight(), 50, need, 60.0, quick=mu in (0.5, 0.15), others=(lead,), mu=mu)
        bend = Requirement(lateral_mps2=0.6 * mu * GRAVITY, offset_m=0.5)
        kmh = min(50.0, 1.3 * math.sqrt(0.6 * mu * GRAVITY * 50.0) * 3.6)
        yield _road("S7", f"bend_{mu:g}", curve(50.0, 200.0), kmh, bend, 30.0, quick=mu == 0.3, mu=mu)
    for mu, gap in ((0.5, 35.0), (0.3, 35.0), (0.15, 60.0)):
        # Who finds out by braking may come too late: what is asked is to slow down as the road lets, in the lane.
        need, ahead = Requirement(slows_mps=3.0, offset_m=0.5), (Participant(gap),)
        name, quick = f"unknown_{mu:g}", mu == 0.3
        yield _road("S7", name, straight(), 50, need, 30.0, quick=quick, others=ahead, mu=mu, known=False)


def stops() -> Iterator[Cell]:
    """S8: the in-lane stop on a straight and in a bend; stands for a minute and does not start again.

    And from the model's driving, by command, without objects and without lanes: in bends, and before a red light.
    """
    for kmh in (30, 50, 80, 100):
        for name, line in (("straight", straight()), ("r100", curve(100.0, 20.0, 400.0))):
            if name == "r100" and kmh > 50:
                continue
            need = Requirement(braking_mps2=4.2, offset_m=0.5, stands=True, creep_mps=0.1, follower=True)
            duration = 1.0 + kmh / 3.6 / 1.5 + 3.0
            for long_stand in (False, True):
                yield _road(
                    "S8", f"{name}_{kmh}{'_60s' if long_stand else ''}", line, kmh, need,
                    duration + (60.0 if long_stand else 0.0), quick=not long_stand and kmh in (30, 80),
                    start_m=60.0, stop_at_s=1.0,
                )  # fmt: skip
    # From the model's own driving, in bends that hold 2 m/s2: its plan is shorter than the stop.
    need = Requirement(
        braking_mps2=4.2, offset_m=(LANE_M - VehicleGeometry().width_m) / 2, stands=True, creep_mps=0.1, follower=True,
        model_drives=True,
    )  # fmt: skip
    for kmh, radius, sight_m in ((70, 200.0, 250.0), (100, 400.0, 250.0), (130, 700.0, 400.0)):
        for side in (1.0, -1.0):
            for cause in (OPERATOR, OBJECTS_SILENT, LANES_SILENT):
                name = f"model_{side * radius:g}_{kmh}_{cause.replace(' ', '_')}"
                yield _road(
                    "S8", name, curve(side * radius, 20.0, 1000.0), kmh, need, FROM_MODEL_S + kmh / 3.6 / 1.5 + 4.0,
                    quick=(side * radius, cause) in FROM_MODEL_QUICK, start_m=60.0, sight_m=sight_m,
                    planner_dies_s=math.inf, stop_at_s=FROM_MODEL_S, stop_by=cause,
                )  # fmt: skip
    # The fallback slows down for the light already, so the model drives in L1.
    need = dataclasses.replace(need, stops_before_m=0.0, model_drives=False)
    for kmh, place_m in RED_M.items():
        for cause in (OPERATOR, OBJECTS_SILENT, LANES_SILENT):
            yield _road(
                "S8", f"red_{kmh}_{cause.replace(' ', '_')}", straight(), kmh, need,
                FROM_MODEL_S + kmh / 3.6 / 1.5 + 4.0,
                quick=(kmh, cause) in RED_QUICK, start_m=60.0, red_m=place_m,
                planner_dies_s=math.inf, stop_at_s=FROM_MODEL_S, stop_by=cause,
            )  # fmt: skip


def blocked_roads() -> Iterator[Cell]:
    """S10: the lane ends, is blocked, is narrowed by a parked car, or an oncoming vehicle takes part of it."""
    end = Requirement(stops_before_m=1.5, stands=True, braking_mps2=3.5, follower=True)
    for kmh in (30, 50, 80):
        yield _road("S10", f"ends_{kmh}", straight(), kmh, end, 30.0, quick=kmh == 50, end_m=120.0)
    # A planner drives towards the end as if the road went on; it is stopped as late as its plans can be.
    driven = Requirement(stops_before_m=1.0, stands=True, braking_mps2=6.5)
    for kmh, end_m in ((30, 150.0), (50, 220.0), (100, 400.0)):
        yield _road(
            "S10", f"planner_ends_{kmh}", straight(), kmh, driven, 40.0, quick=kmh == 50, end_m=end_m,
            planner_dies_s=math.inf,
        )  # fmt: skip
    blocked = Requirement(least_gap_m=0.5, stands=True)
    wall = (Participant(80.0, 1.2, width_m=2.2), Participant(80.0, -1.2, width_m=2.2))
    yield _road("S10", "blocked_50", straight(), 50, blocked, 30.0, quick=True, others=wall)
    passes = Requirement(least_gap_m=0.2, passes=True, braking_mps2=3.5)
    for name, edge, left in (("parked_right", -2.2, 3.5), ("parked_far_right", -2.5, 2.5)):
        for kmh in (30, 50):
            parked = (Participant(80.0, edge, width_m=1.8),)
            yield _road(
                "S10", f"{name}_{kmh}", straight(), kmh, passes, 25.0, quick=kmh == 50, others=parked,
                left_m=left, right_m=3.5,
            )  # fmt: skip
    for edge, kmh in ((-1.7, 50), (-1.7, 30), (1.7, 50)):
        # The parked car reaches so far into the lane that its middle is blocked.
        parked = (Participant(80.0, edge, width_m=1.8),)
        around = Requirement(least_gap_m=0.2, passes=True, braking_mps2=3.5, lateral_mps2=3.0)
        yield _road(
            "S10", f"around_{edge:+g}_{kmh}", straight(), kmh, around, 25.0, quick=True, others=parked,
            left_m=3.5, right_m=3.5,
        )  # fmt: skip
    parked_left = (Participant(80.0, 2.2, width_m=1.8),)
    yield _road(
        "S10", "parked_left_50", straight(), 50, passes, 25.0, quick=True, others=parked_left, left_m=3.5, right_m=3.5
    )
    waits = Requirement(least_gap_m=0.2)
    both = (Participant(80.0, -2.2, width_m=1.8), Participant(160.0, 3.0, ((0.0, -10.0),)))
    yield _road("S10", "parked_oncoming_50", straight(), 50, waits, 25.0, quick=True, others=both, left_m=5.25)
    head_on = (Participant(120.0, 2.4, ((0.0, -12.0),)),)
    yield _road("S10", "oncoming_wide_50", straight(), 50, waits, 15.0, quick=True, others=head_on, left_m=5.25)


def switch_overs() -> Iterator[Cell]:
    """S12: the planner dies at every phase of a swing across the lane, of a bend and of speeding up."""
    rng = np.random.default_rng(12)
    need = Requirement(acceleration_step_mps2=1.5, follower=True)
    for k in range(1000):
        phase = float(rng.uniform(3.0, 14.0))
        radius = float(rng.choice([60.0, 100.0, 250.0])) * float(rng.choice([-1.0, 1.0]))
        kmh = float(rng.uniform(20, 50))
        shift = float(rng.uniform(-0.6, 0.6))
        line = curve(round(radius), 90.0, 120.0 + 4.0 * abs(radius))
        yield _road(
            "S12", f"{k:03d}", line, kmh, need, phase + 4.0, quick=k < 4,
            planner_dies_s=phase, planner_shift_m=shift, limit_mps=min(kmh / 3.6, math.sqrt(2.0 * abs(radius))),
        )  # fmt: skip


def speed_range() -> Iterator[Cell]:
    """S13: free driving from 0 to 130 km/h, and starting on hills of 8 %."""
    for kmh in (0, 10, 30, 50, 80, 130):
        need = Requirement(jerk_mps3=4.13, braking_mps2=2.5, moves_m=20.0, follower=True)
        yield _road(
            "S13", f"free_{kmh}", straight(), kmh, need, 12.0, quick=kmh in (0, 130), limit_mps=36.2, sight_m=400.0
        )
    for slope in (0.08, -0.08):
        need = Requirement(moves_m=20.0)
        yield _road("S13", f"hill_{slope:+g}", straight(), 0, need, 15.0, quick=True, slope=slope, limit_mps=10.0)
        stand = Requirement(stands=True, creep_mps=0.1, least_gap_m=0.5)
        lead = (Participant(30.0),)
        yield _road("S13", f"hold_{slope:+g}", straight(), 30, stand, 25.0, quick=True, others=lead, slope=slope)


def _road(
    family: str, name: str, line: Line, kmh: float, need: Requirement, duration_s: float, *, quick: bool,
    others: tuple[Participant, ...] = (), mu: float | None = None, limit_mps: float | None = None,
    start_m: float = 50.0, left_m: float = 2.5, right_m: float = 2.5, end_m: float | None = None,
    stop_at_s: float | None = None, planner_dies_s: float | None = None, planner_shift_m: float = 0.0,
    slope: float = 0.0, sight_m: float = 200.0, known: bool = True, stop_by: str = FALLBACK_TIME,
    red_m: float | None = None,
) -> Cell:  # fmt: skip
    return Cell(
        family=family, name=name, parameters={"kmh": round(kmh, 2)}, speed_mps=kmh / 3.6, participants=others,
        requirement=need, duration_s=duration_s, line=line, start_m=start_m, limit_mps=limit_mps, left_m=left_m,
        right_m=right_m, end_m=end_m, friction=mu, stop_at_s=stop_at_s, planner_dies_s=planner_dies_s,
        planner_shift_m=planner_shift_m, slope=slope, quick=quick, sight_m=sight_m, friction_known=known,
        stop_by=stop_by, red_m=red_m,
    )  # fmt: skip
