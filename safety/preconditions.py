"""What holds or fails whatever the inputs say: thresholds, the supervisor's own rate, what engaging needs beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from onboard_vla.core.clock import Now, seconds
from onboard_vla.core.safe_trajectory import SHADOW, Engagement, Mode
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.config import SIMULATION_PROFILE, VEHICLE_PROFILE, FreshnessLimits, SupervisorConfig
from onboard_vla.safety.config_file import config_hash
from onboard_vla.safety.ladder_state import Request
from onboard_vla.safety.operating_domain import undeclared


def threshold_requests(config: SupervisorConfig) -> list[Request]:
    """L2 at best without thresholds, and on a vehicle with provisional ones."""
    thresholds = config.thresholds
    if thresholds is None:
        reason = Reason("THRESHOLDS_MISSING", 0.0, 1.0, "no thresholds file: L2 at best")
    elif thresholds.provisional and config.profile != SIMULATION_PROFILE:
        reason = Reason("THRESHOLDS_PROVISIONAL", 1.0, 0.0, "provisional thresholds on a vehicle: L2 at best")
    else:
        return []
    return [Request(Mode.FALLBACK, reason)]


def standing_requests(config: SupervisorConfig, ages_s: Sequence[float], died_driving: bool) -> list[Request]:
    """What thresholds, the plans' ages on arrival and a supervisor's death before this one ask for."""
    found = threshold_requests(config) + latency_requests(ages_s, config.staleness.latency_budget_s)
    if died_driving:
        detail = "it died while it drove: latched until rearmed"
        found.append(Request(Mode.NOMINAL, Reason("SUPERVISOR_RESTARTED", 1.0, 0.0, detail)))
    return found


def latency_requests(ages_s: Sequence[float], budget_s: float) -> list[Request]:
    """L1 where one in twenty of the last plans or more was older on arrival than the budget."""
    if not ages_s:
        return []
    late = sorted(ages_s)[math.ceil(0.95 * len(ages_s)) - 1]
    if late <= budget_s:
        return []
    return [Request(Mode.REDUCED, Reason("PLAN_LATENCY", late, budget_s, "p95 of age on arrival, s"))]


def tick_gap_requests(before_ns: int | None, now: Now, limits: FreshnessLimits) -> list[Request]:
    """Whether this tick came too long after the one before, which was at the monotonic instant `before_ns`."""
    if before_ns is None:
        return []
    gap = seconds(now.monotonic_ns - before_ns)
    if gap > limits.tick_gap_stop_s:
        reason = Reason("TICK_STARVED", gap, limits.tick_gap_stop_s, "between ticks, s")
        return [Request(Mode.IN_LANE_STOP, reason)]
    if gap > limits.tick_gap_s:
        return [Request(Mode.NOMINAL, Reason("TICK_GAP", gap, limits.tick_gap_s, "between ticks, s"))]
    return []


def change_obstacle(
    before: SupervisorConfig, wanted: SupervisorConfig, engagement: Engagement, speed_mps: float | None
) -> Reason | None:
    """What stands against other settings: somebody drives, or (but for `authority`) a speed that is freshly known."""
    hash_ = config_hash(before)[:12]
    if engagement is not Engagement.STANDBY:
        where = f"{engagement.value}: settings change in standby alone; {hash_} holds"
        return Reason("CONFIG_CHANGE_REFUSED", 1.0, 0.0, where)
    standstill = before.ladder.standstill_mps
    if speed_mps is None or abs(speed_mps) < standstill or replace(wanted, authority=before.authority) == before:
        return None
    speed = abs(speed_mps)
    what = f"{speed:.2f} m/s: settings change at standstill alone; {hash_} holds"
    return Reason("CONFIG_CHANGE_REFUSED", speed, standstill, what)


def engaging_obstacles(
    config: SupervisorConfig, domain: list[Request], failed_self_test: Reason | None, driver: Reason | None
) -> tuple[Reason, ...]:
    """What stands against engaging and re-arming at any level. `domain`: requests over the operational design domain.

    Requests beyond L2 are left out: they stand against it anyway. `driver`: why it is not known whether he acts. On a
    vehicle nobody begins to drive from whom he could not take over.
    """
    found = [request.reason for request in domain if request.level <= Mode.FALLBACK]
    if failed_self_test is not None:
        found.append(failed_self_test)
    missing = undeclared(config.odd)
    if config.profile == VEHICLE_PROFILE:
        found += [reason for reason in (missing, driver) if reason is not None]
    if config.authority == SHADOW:
        found.append(Reason("SHADOW_ONLY", 1.0, 0.0, "configured to watch: authority is shadow"))
    return tuple(found)
