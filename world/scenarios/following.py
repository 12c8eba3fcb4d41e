"""S1, S1b, S3, S4, S9: standing, braking, leaving and stop-and-go leads."""

from __future__ import annotations

import math
from collections.abc import Iterator

from onboard_vla.world.scenarios.cell import WHERE_REFERENCE_AVOIDS, Cell, Participant, Requirement
from onboard_vla.world.scenarios.lines import straight
from onboard_vla.world.scenarios.loop import DELAY_TICKS, TICK_S
from onboard_vla.world.vehicle import DRIVE_LAG_S

LATE_DETECTION_M = {30: 9.5, 50: 22.0, 80: 50.0}
"""Gaps from which braking at 6 m/s^2 with 0.2 s of delay and 0.2 s of lag just avoids a standing lead."""
TIME_GAP_S, STANDSTILL_GAP_M = 1.8, 2.0
"""The following distance that leads start from."""
EASY_MPS2, EASY_JERK_MPS3 = 3.0, 4.13
FINAL_GAP_M = (1.5, 3.5)
HARD_MPS2 = 6.5
"""Where comfort is out of reach: braking at 6 m/s^2, and what following it costs."""


def comfortable_stop_m(speed_mps: float) -> float:
    """The gap below which nobody stops 1.5 m before a standing vehicle within S1's braking and jerk.

    What passes before braking begins to act (`loop.DELAY_TICKS`, `vehicle.DRIVE_LAG_S`), a ramp of constant jerk, and
    constant braking to standstill, in closed form: v (delay + lag) - a lag^2 / 2 + v t_r / 2 + v^2 / 2a - a t_r^2 / 24
    with t_r = a / j. Easing off at the end would only add.
    """
    ramp_s = EASY_MPS2 / EASY_JERK_MPS3
    reaction = speed_mps * (DELAY_TICKS * TICK_S + DRIVE_LAG_S) - EASY_MPS2 * DRIVE_LAG_S**2 / 2
    braking = speed_mps * ramp_s / 2 + speed_mps**2 / (2 * EASY_MPS2) - EASY_MPS2 * ramp_s**2 / 24
    return reaction + braking + FINAL_GAP_M[0]


def standing_leads() -> Iterator[Cell]:
    """S1: a standing vehicle seen in good time; comfort is asked where it is possible."""
    for kmh in (20, 30, 40, 50, 60, 80):
        for gap in (60.0, 90.0) if kmh < 80 else (120.0, 150.0):
            possible = gap >= comfortable_stop_m(kmh / 3.6)
            need = Requirement(
                final_gap_m=FINAL_GAP_M,
                braking_mps2=EASY_MPS2 if possible else HARD_MPS2,
                jerk_mps3=EASY_JERK_MPS3 if possible else None,
                stands=True,
                follower=True,
            )
            yield _following("S1", f"{kmh}_{gap:g}", kmh, Participant(gap), need, 32.0, gap < 61.0 or kmh == 80)


def standing_leads_seen_late() -> Iterator[Cell]:
    """S1b: a standing vehicle seen a tenth farther off than full braking needs."""
    for kmh, gap in LATE_DETECTION_M.items():
        for phase_s in (0.0, 0.03, 0.07):
            need = Requirement(least_gap_m=0.01, braking_mps2=6.5, stands=True)
            # Known to perception since just before time 0, when the gap is what the table says plus a tenth.
            seen = Participant(1.1 * gap + phase_s * kmh / 3.6, visible_s=(phase_s - 0.22, 1e9))
            yield _following("S1b", f"{kmh}_{phase_s:g}", kmh, seen, need, 8.0, quick=True)


def braking_leads() -> Iterator[Cell]:
    """S3: the lead brakes from equilibrium following."""
    for kmh in (30, 50, 80, 100):
        v = kmh / 3.6
        start = (STANDSTILL_GAP_M + TIME_GAP_S * v) / math.sqrt(1.0 - (1.0 / 1.5) ** 4)
        for brake in (2.0, 4.0, 6.0, 8.0):
            lead = Participant(start, speed=((1.5, v), (1.5 + v / brake, 0.0)))
            need = Requirement(least_gap_m=1.0, braking_mps2=6.5)
            quick = (kmh, brake) in {(30, 8.0), (50, 4.0), (50, 8.0), (80, 6.0), (100, 8.0)}
            yield _following(
                "S3", f"{kmh}_{brake:g}", kmh, lead, need, 4.0 + v / brake + v / 3.0, quick, limit=1.5 * v, brake=brake
            )


def cut_outs() -> Iterator[Cell]:
    """S4: the lead leaves the lane and reveals a standing vehicle; the revealed one is visible from half the way on."""
    for kmh in (30, 50, 80, 100):
        v = kmh / 3.6
        follow = STANDSTILL_GAP_M + TIME_GAP_S * v
        for ttc in (2.0, 3.0, 4.0):
            leaving, lateral = 1.0, 1.5
            reveal = leaving + 1.5 / lateral
            lead = Participant(
                follow, speed=((0.0, v),),
                lateral=((leaving, 0.0), (leaving + 0.01, lateral), (leaving + 3.5 / lateral, lateral),
                         (leaving + 3.5 / lateral + 0.01, 0.0)),
            )  # fmt: skip
            stands = Participant(v * (reveal + ttc), visible_s=(reveal, 1e9))
            need = Requirement(contact=WHERE_REFERENCE_AVOIDS, braking_mps2=6.5)
            yield Cell(
                family="S4",
                name=f"{kmh}_{ttc:g}",
                parameters={"kmh": kmh, "ttc_s": ttc},
                speed_mps=v,
                participants=(stands, lead),
                requirement=need,
                duration_s=reveal + ttc + v / 3.0 + 2.0,
                line=straight(),
                limit_mps=1.2 * v,
                lane_width_m=3.5,
                sight_m=250.0,
                quick=kmh in (50, 80),
            )


def stop_and_go() -> Iterator[Cell]:
    """S9: ten minutes behind a lead that speeds up and slows down; the driver must damp it."""
    for name, minutes, quick in (("600s", 10.0, False), ("120s", 2.0, True)):
        knots, time_s = [(0.0, 10.0)], 4.0
        for speed in (6.0, 10.0, 4.0, 9.0, 0.0, 8.0) * 20:
            rate = 1.0 if speed > knots[-1][1] else 1.5
            knots += [(time_s, knots[-1][1]), (time_s + abs(speed - knots[-1][1]) / rate, speed)]
            time_s = knots[-1][0] + 8.0
        lead = Participant(24.0, speed=tuple(k for k in knots if k[0] <= 60 * minutes))
        need = Requirement(least_gap_m=1.0, time_gap_s=1.0, speed_variance_ratio=1.0, braking_mps2=3.0, follower=True)
        yield _following("S9", name, 36.0, lead, need, 60 * minutes, quick, limit=15.0, tags=frozenset({"following"}))


def _following(
    family: str, name: str, kmh: float, lead: Participant, need: Requirement, duration_s: float, quick: bool,
    limit: float | None = None, tags: frozenset[str] = frozenset(), **parameters: float,
) -> Cell:  # fmt: skip
    return Cell(
        family=family,
        name=name,
        parameters={"kmh": kmh, "gap_m": lead.gap_m, **parameters},
        speed_mps=kmh / 3.6,
        participants=(lead,),
        requirement=need,
        duration_s=duration_s,
        line=straight(),
        limit_mps=limit,
        sight_m=250.0,
        quick=quick,
        tags=tags,
    )
