"""S2: the cut-in grid that UN R157's performance models were published on, low and high speed."""

from __future__ import annotations

from collections.abc import Iterator

from onboard_vla.world.scenarios.cell import WHERE_REFERENCE_AVOIDS, Cell, Participant, Requirement
from onboard_vla.world.scenarios.lines import straight

LOW_KMH, LOW_GAPS_M, LOW_STEP_KMH = (10, 20, 30, 40, 50, 60), tuple(range(1, 60)), 10
HIGH_KMH, HIGH_GAPS_M, HIGH_STEP_KMH = (70, 90, 110, 130), tuple(range(1, 120, 2)), 30
LATERAL_MPS = tuple(k / 10 for k in range(18))
LATERAL_RAMP_MPS2 = 1.5
"""The lateral speed is reached at this acceleration just before time 0, and left again on arrival."""
SIDE_GAP_M, WIDTH_M, LENGTH_M = 1.6, 1.9, 4.3
"""Lateral gap at time 0, and the vehicles' size, as in the published grid."""
DURATION_S = 12.0
QUICK = (
    (20, 10, 3, 0.5), (30, 10, 8, 1.0), (40, 10, 14, 0.8), (50, 20, 15, 1.2), (50, 40, 4, 1.7),
    (60, 10, 30, 1.0), (60, 30, 18, 0.4), (60, 50, 3, 1.5), (70, 10, 45, 0.6), (90, 40, 43, 1.2),
    (110, 70, 35, 1.7), (130, 40, 95, 0.9), (130, 100, 25, 1.4), (60, 10, 6, 1.7), (130, 10, 61, 1.0),
)  # fmt: skip
"""Own speed, its speed, gap, lateral speed: a few cells of the grid for every test run."""


def cut_in_grid() -> Iterator[Cell]:
    """All cells of the published grid."""
    for speeds, gaps, step in ((LOW_KMH, LOW_GAPS_M, LOW_STEP_KMH), (HIGH_KMH, HIGH_GAPS_M, HIGH_STEP_KMH)):
        for own in speeds:
            for other in range(10, own, step):
                for gap in gaps:
                    for lateral in LATERAL_MPS:
                        yield cut_in(own, other, gap, lateral)


def cut_in(own_kmh: float, other_kmh: float, gap_m: float, lateral_mps: float) -> Cell:
    """A slower vehicle comes from the left lane with constant lateral speed."""
    quick = any((own_kmh, other_kmh, gap_m, lateral_mps) == row[:4] for row in QUICK)
    offset = SIDE_GAP_M + WIDTH_M
    lateral: tuple[tuple[float, float], ...] = ((0.0, 0.0),)
    if lateral_mps > 0.0:
        ramp = lateral_mps / LATERAL_RAMP_MPS2
        arrival = max((offset - lateral_mps * ramp / 2) / lateral_mps, 0.0)
        lateral = ((-ramp, 0.0), (0.0, -lateral_mps), (arrival, -lateral_mps), (arrival + ramp, 0.0))
    other = Participant(gap_m, offset, ((0.0, other_kmh / 3.6),), lateral, length_m=LENGTH_M, width_m=WIDTH_M)
    return Cell(
        family="S2",
        name=f"{own_kmh:g}_{other_kmh:g}_{gap_m:g}_{lateral_mps:g}",
        parameters={"own_kmh": own_kmh, "other_kmh": other_kmh, "gap_m": gap_m, "lateral_mps": lateral_mps},
        speed_mps=own_kmh / 3.6,
        participants=(other,),
        requirement=Requirement(contact=WHERE_REFERENCE_AVOIDS, braking_mps2=6.5),
        duration_s=DURATION_S,
        line=straight(),
        sight_m=200.0,
        ends_when_following=True,
        quick=quick,
    )
