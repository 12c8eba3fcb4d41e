"""S6: pedestrians, an obstructed child and cyclists, ahead and crossing."""

from __future__ import annotations

from collections.abc import Iterator

from onboard_vla.core.objects import CYCLIST, PEDESTRIAN
from onboard_vla.world.scenarios.cell import NEVER, Cell, Participant, Requirement
from onboard_vla.world.scenarios.lines import straight

WALK_MPS, CHILD_MPS, RIDE_MPS = 1.4, 1.39, 4.2
BODY_M = (0.5, 0.5)
BICYCLE_M = (1.9, 0.5)
REACTION_S, AVOIDABLE_MPS2 = 0.35, 5.5
"""Contact must be avoided where braking this hard, begun this long after the crossing begins, stops in time."""
LEAST_REDUCTION_MPS = 20 / 3.6
"""Elsewhere the speed must come down by this much, or by what the same braking does in the time that is left."""
WITHOUT_BRAKES_S = 0.8
"""From the crossing's begin to braking: two object lists, their delay, the actuators' delay and lag."""


def crossings() -> Iterator[Cell]:
    """Somebody steps off the kerb at time 0 so as to meet the vehicle's front in the middle of its lane.

    `path_m` is how far the crossing takes from the beginning of the motion to the vehicle's nearer side.
    """
    people = (
        ("near", -1.0, WALK_MPS, 2.0, PEDESTRIAN, BODY_M, -10.0),
        ("far", 1.0, WALK_MPS, 4.5, PEDESTRIAN, BODY_M, -10.0),
        ("child_hidden", -1.0, CHILD_MPS, 1.5, PEDESTRIAN, BODY_M, 0.0),
        ("bicycle", -1.0, RIDE_MPS, 8.0, CYCLIST, BICYCLE_M, -10.0),
    )
    for kind, side, pace, path, family, size, visible in people:
        for kmh in (20, 30, 40, 50, 60):
            speed = kmh / 3.6
            reach = 1.0 + path
            time_s = (reach - 0.5) / pace
            gap = speed * time_s
            lateral = ((-0.01, 0.0), (0.0, -side * pace))
            person = Participant(
                gap, side * reach, lateral=lateral, kind=family, length_m=size[0], width_m=size[1],
                visible_s=(visible, 1e9),
            )  # fmt: skip
            needed = _required(speed, gap)
            strict = needed <= AVOIDABLE_MPS2
            reachable = min(LEAST_REDUCTION_MPS, AVOIDABLE_MPS2 * max(time_s - WITHOUT_BRAKES_S, 0.0))
            need = Requirement(contact=NEVER, slows_mps=None if strict else reachable)
            yield Cell(
                family="S6",
                name=f"{kind}_{kmh}",
                parameters={"kmh": kmh, "path_m": path, "required_mps2": round(needed, 2)},
                speed_mps=speed,
                participants=(person,),
                requirement=need,
                duration_s=9.0,
                line=straight(),
                left_m=5.25,
                quick=kmh in (30, 50),
            )
    for kmh in (20, 30, 40, 50, 60):
        rider = Participant(60.0, -0.4, ((0.0, RIDE_MPS),), kind=CYCLIST, length_m=BICYCLE_M[0], width_m=BICYCLE_M[1])
        yield Cell(
            family="S6",
            name=f"bicycle_along_{kmh}",
            parameters={"kmh": kmh},
            speed_mps=kmh / 3.6,
            participants=(rider,),
            requirement=Requirement(contact=NEVER, braking_mps2=3.5, least_gap_m=0.5),
            duration_s=20.0,
            line=straight(),
            quick=kmh == 50,
        )


def _required(speed_mps: float, gap_m: float) -> float:
    room = gap_m - REACTION_S * speed_mps
    return speed_mps**2 / (2 * room) if room > 0.0 else 99.0
