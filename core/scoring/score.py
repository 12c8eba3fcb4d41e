"""PDMS and EPDMS from the sub-metrics of a motion and of the reference that it is measured against."""

from __future__ import annotations

from dataclasses import dataclass, replace

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.errors import GeometryError
from onboard_vla.core.scoring.comfort import comfort
from onboard_vla.core.scoring.contact import no_at_fault_collision, time_to_collision_within_bound
from onboard_vla.core.scoring.motion import Motion
from onboard_vla.core.scoring.rules import (
    drivable_area_compliance,
    driving_direction_compliance,
    lane_keeping,
    metres_made,
    traffic_light_compliance,
)
from onboard_vla.core.scoring.surroundings import RoadArea, Traffic
from onboard_vla.core.scoring.whereabouts import locate

PROGRESS_WEIGHT, TTC_WEIGHT, COMFORT_WEIGHT, LANE_WEIGHT, EXTENDED_WEIGHT = 5.0, 5.0, 2.0, 2.0, 2.0
LEAST_PROGRESS_M = 5.0
"""Where nobody gets farther than this, all progress counts alike."""


@dataclass(frozen=True)
class SubMetrics:
    """Of one motion, 0 to 1 but for `progress_m` (metres) and `contact_s` (first contact at fault, infinite if none).

    `ttc_v1` looks beyond the motion's end, `ttc` does not; `comfort` is C of PDMS, `history_comfort` HC of EPDMS.
    """

    nc: float
    dac: float
    ddc: float
    tlc: float
    progress_m: float
    ttc_v1: float
    ttc: float
    lane_keeping: float
    comfort: float
    history_comfort: float
    contact_s: float

    @property
    def allowed_v1(self) -> float:
        """Product of what PDMS multiplies."""
        return self.nc * self.dac

    @property
    def allowed(self) -> float:
        """Product of what EPDMS multiplies."""
        return self.nc * self.dac * self.ddc * self.tlc


def measure(
    motion: Motion, traffic: Traffic, road: RoadArea, vehicle: VehicleGeometry, history: Motion | None = None
) -> SubMetrics:
    """All sub-metrics of one motion; without `history` HC is 1, as published.

    Raises:
        GeometryError: too few instants, or traffic that ends before the motion does.
    """
    if len(traffic.boxes) < len(motion):
        raise GeometryError(f"traffic: expected at least {len(motion)} instants, found {len(traffic.boxes)}")
    where = locate(motion, road, vehicle)
    nc, contact_s = no_at_fault_collision(motion, traffic, where, vehicle)
    return SubMetrics(
        nc=nc,
        dac=drivable_area_compliance(where),
        ddc=driving_direction_compliance(motion, where, vehicle),
        tlc=traffic_light_compliance(where, road),
        progress_m=metres_made(where),
        ttc_v1=time_to_collision_within_bound(motion, traffic, where, vehicle, beyond_end=True),
        ttc=time_to_collision_within_bound(motion, traffic, where, vehicle, beyond_end=False),
        lane_keeping=lane_keeping(where),
        comfort=float(comfort(motion, vehicle).all),
        history_comfort=1.0 if history is None else float(comfort(motion.after(history), vehicle).all),
        contact_s=contact_s,
    )


def ego_progress_v1(own: SubMetrics, reference: SubMetrics) -> float:
    """EP of PDMS: metres made over the most that is made without a violation; a violation makes none."""
    made, most = own.progress_m * own.allowed_v1, _most(own, reference, v1=True)
    if most > LEAST_PROGRESS_M:
        return made / most
    return 0.0 if own.allowed_v1 == 0.0 else 1.0


def ego_progress(own: SubMetrics, reference: SubMetrics) -> float:
    """EP of EPDMS: metres made over the most that is made without a violation, at most 1."""
    most = _most(own, reference, v1=False)
    return min(own.progress_m / most, 1.0) if most > LEAST_PROGRESS_M else 1.0


def pdms(own: SubMetrics, reference: SubMetrics) -> float:
    """PDM score: NC DAC (5 EP + 5 TTC + 2 C) / 12. `reference`: another proposal from the same start (PDM-Closed's)."""
    weighted = PROGRESS_WEIGHT * ego_progress_v1(own, reference) + TTC_WEIGHT * own.ttc_v1
    weighted += COMFORT_WEIGHT * own.comfort
    return own.allowed_v1 * weighted / (PROGRESS_WEIGHT + TTC_WEIGHT + COMFORT_WEIGHT)


def epdms(own: SubMetrics, reference: SubMetrics, extended: float | None, human: SubMetrics | None = None) -> float:
    """Extended PDM score: NC DAC DDC TLC (5 EP + 5 TTC + 2 LK + 2 HC + 2 EC) / 16.

    Args:
        own: the motion's sub-metrics.
        reference: another proposal's from the same start; progress is measured against the better of the two.
        extended: EC (see `comfort.extended_comfort`); None leaves EC and its weight out, as NAVSIM's own proposals do.
        human: sub-metrics of what a human (here: the expert) does; where they are 0, the motion's count as 1.
    """
    progress = ego_progress(own, reference)
    judged = own if human is None else filtered(own, human)
    weighted = PROGRESS_WEIGHT * progress + TTC_WEIGHT * judged.ttc + LANE_WEIGHT * judged.lane_keeping
    weighted += COMFORT_WEIGHT * judged.history_comfort
    weights = PROGRESS_WEIGHT + TTC_WEIGHT + LANE_WEIGHT + COMFORT_WEIGHT
    if extended is not None:
        weighted, weights = weighted + EXTENDED_WEIGHT * extended, weights + EXTENDED_WEIGHT
    return judged.allowed * weighted / weights


def filtered(own: SubMetrics, human: SubMetrics) -> SubMetrics:
    """NAVSIM v2's filter: a rule that the human breaks, too, is not held against the motion."""
    names = ("nc", "dac", "ddc", "tlc", "ttc", "lane_keeping", "history_comfort")
    return replace(own, **{name: 1.0 for name in names if getattr(human, name) == 0.0})


def _most(own: SubMetrics, reference: SubMetrics, *, v1: bool) -> float:
    return max(m.progress_m * (m.allowed_v1 if v1 else m.allowed) for m in (own, reference))
