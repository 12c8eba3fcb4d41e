"""The hazard gate: longitudinal authority at 50 Hz over whoever drives, on fresh independent objects.

Braking itself is in the trajectories (`idm.emergency_brake` on the leads found here); this class decides when the
required deceleration is so high for so long that the emergency stop takes over.
"""

from __future__ import annotations

from collections.abc import Sequence

from onboard_vla.core.clock import nanoseconds
from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.geometry import Polyline
from onboard_vla.core.safe_trajectory import Mode
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.config import CollisionLimits, FallbackSettings, StopSettings
from onboard_vla.safety.idm import Lead, closing_deceleration
from onboard_vla.safety.joined_path import JoinedPath
from onboard_vla.safety.ladder import Request
from onboard_vla.safety.leads import nearest_distinct, object_leads
from onboard_vla.safety.object_memory import ObjectSet

UNBOUNDED_MPS2 = 99.0
"""Reported where no room is left at all."""


class HazardGate:
    """Remembers since when the required deceleration is above the emergency limit."""

    def __init__(self, collision: CollisionLimits, fallback: FallbackSettings, stop: StopSettings) -> None:
        self._collision, self._fallback, self._stop = collision, fallback, stop
        self._since_ns: int | None = None

    def leads(
        self,
        path: JoinedPath,
        objects: ObjectSet,
        speed_mps: float,
        vehicle: VehicleGeometry,
        lane: Polyline | None,
    ) -> list[Lead]:
        """What the trajectory on `path` must brake for; `objects` at the present instant."""
        margin = self._fallback.corridor_margin_m
        return nearest_distinct(object_leads(path, objects, speed_mps, vehicle, self._collision, margin, lane))

    def lasting(
        self,
        path: JoinedPath,
        objects: ObjectSet,
        signals: Sequence[Lead],
        speed_mps: float,
        vehicle: VehicleGeometry,
        lane: Polyline | None,
    ) -> list[Lead]:
        """As `leads`, of those objects alone that have lasted longer than perception's ghosts do; and `signals`."""
        lasting = objects.select(objects.hits >= self._stop.emergency_lists)
        return [*self.leads(path, lasting, speed_mps, vehicle, lane), *signals]

    def pressed(self, leads: Sequence[Lead], speed_mps: float) -> bool:
        """Whether more than the emergency limit is required: down to a lead's own speed.

        Behind a lead that drives on, the trajectory's emergency brake does that as hard as the emergency stop, and does
        not stop in the middle of the traffic.
        """
        return speed_mps >= 0.5 and self._required(leads, speed_mps) > self._stop.emergency_a_req_mps2

    def watch(self, leads: Sequence[Lead], speed_mps: float, now_ns: int) -> Request | None:
        """L4 when more than the emergency limit has been required for the confirmation time.

        `leads`: lasting ones, where any are pressing. A ghost is braked for while it is there; the stop that nobody
        takes back is for what stays.
        """
        if not self.pressed(leads, speed_mps):
            self._since_ns = None
            return None
        if self._since_ns is None:
            self._since_ns = now_ns
        if now_ns - self._since_ns < nanoseconds(self._stop.emergency_confirm_s):
            return None
        measured, limit = min(self._required(leads, speed_mps), UNBOUNDED_MPS2), self._stop.emergency_a_req_mps2
        detail = "deceleration required behind a lead, or to the end of what is known of the path"
        return Request(Mode.EMERGENCY_STOP, Reason("A_REQ", measured, limit, detail))

    def _required(self, leads: Sequence[Lead], speed_mps: float) -> float:
        return max((closing_deceleration(speed_mps, lead, self._fallback.idm) for lead in leads), default=0.0)
