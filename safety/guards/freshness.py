"""Are the inputs there and fresh? Every answer is a request to the ladder with its reason (safety basis 6.1, 10.2)."""

from __future__ import annotations

from onboard_vla.core.clock import Now, seconds
from onboard_vla.core.safe_trajectory import Mode
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.config import NOT_PERCEIVED, SupervisorConfig
from onboard_vla.safety.guards.wheel import wheel_requests
from onboard_vla.safety.inputs import (
    EGO,
    GUARD,
    LANES,
    OBJECTS,
    OPERATOR,
    PLACE,
    PLANNER,
    ROUTE,
    SPEEDS,
    WHEEL,
    Inputs,
)
from onboard_vla.safety.ladder import Request

FAULT_LEVELS = {
    EGO: Mode.IN_LANE_STOP,
    OBJECTS: Mode.IN_LANE_STOP,
    LANES: Mode.FALLBACK,
    ROUTE: Mode.IN_LANE_STOP,
    PLANNER: Mode.FALLBACK,
    GUARD: Mode.FALLBACK,
    OPERATOR: Mode.FALLBACK,
    SPEEDS: Mode.IN_LANE_STOP,
    PLACE: Mode.IN_LANE_STOP,
}
"""What an unusable newest message asks for. Without a fresh lane the fallback drives on the last good one until that is
stale, so a bad lane message alone is L2. What a wheel speed's fault asks for hangs on the odometry (`wheel.py`)."""
PLACE_LEVELS = {
    "LANES_DOUBTED": Mode.NOMINAL,
    "LANES_JUMP": Mode.IN_LANE_STOP,
    "LANES_AWAY": Mode.IN_LANE_STOP,
    "LANES_TURNED": Mode.IN_LANE_STOP,
    "LANES_OFF_ROUTE": Mode.IN_LANE_STOP,
}
"""Faults of a lane that is whole but not where the vehicle is: the last good one may be no better (10.2 F20: L3). A
doubt is reported alone: the vehicle keeps to the line it had until the next message, or that none comes, decides."""


def input_requests(inputs: Inputs, now: Now, config: SupervisorConfig) -> list[Request]:
    """Requests over all inputs but processes and cameras: freshness, messages that were refused, contradictions."""
    requests = [
        Request(PLACE_LEVELS.get(reason.code, FAULT_LEVELS[topic]), reason)
        for topic, reason in inputs.faults.items()
        if topic != WHEEL
    ]
    requests += ego_requests(inputs, now, config)
    odometry_lost = EGO in inputs.faults or ego_age_s(inputs, now) > config.freshness.ego_stop_s
    requests += wheel_requests(inputs, odometry_lost, now, config) + inputs.clock.requests(now)
    skews = inputs.skews.items()
    requests += [Request(Mode.IN_LANE_STOP if topic == EGO else Mode.FALLBACK, reason) for topic, reason in skews]
    requests += inputs.object_watch.requests(now) + inputs.authority.requests(now)
    if config.perception == NOT_PERCEIVED:
        detail = "no objects, no lanes: nobody but the model sees the road, and there is no fallback"
        requests.append(Request(Mode.NOMINAL, Reason("NO_PERCEPTION", 0.0, 1.0, detail)))
    else:
        requests += _perception_requests(inputs, now, config)
    driver = inputs.driver.doubt(now)
    if driver is not None:
        # That he acts is known, however it is stamped.
        requests.append(Request(Mode.NOMINAL if inputs.driver.acts(now) else Mode.FALLBACK, driver))
    if (unsteady := inputs.lane_place.unsteady(now)) is not None:
        requests.append(Request(Mode.FALLBACK, unsteady))
    if (changed := inputs.route_place.changed(now)) is not None:
        requests.append(Request(Mode.NOMINAL, changed))
    if inputs.route is None:
        requests.append(_stop("ROUTE_MISSING", 0.0, 1.0, "no route received"))
    return requests


def _perception_requests(inputs: Inputs, now: Now, config: SupervisorConfig) -> list[Request]:
    limits = config.freshness
    requests = []
    for topic, reception_s, data_s in (
        (OBJECTS, limits.objects_reception_s, limits.objects_data_s),
        (LANES, limits.lanes_reception_s, limits.lanes_data_s),
    ):
        arrival = inputs.arrivals.get(topic)
        code = topic.upper()
        if arrival is None:
            requests.append(_stop(f"{code}_MISSING", 0.0, 1.0, f"no {topic} received"))
            continue
        silent, age = seconds(now.monotonic_ns - arrival.received_ns), seconds(now.stamp_ns - arrival.stamp_ns)
        if silent > reception_s:
            requests.append(_stop(f"{code}_SILENT", silent, reception_s, f"since {topic} were received, s"))
        elif age > data_s:
            requests.append(_stop(f"{code}_STALE", age, data_s, f"age of {topic}, s"))
    return requests


def ego_requests(inputs: Inputs, now: Now, config: SupervisorConfig) -> list[Request]:
    """Ego state: L3 when stale, L4 when lost; the older of reception and data age counts."""
    limits = config.freshness
    arrival = inputs.arrivals.get(EGO)
    if arrival is None:
        return [Request(Mode.EMERGENCY_STOP, Reason("EGO_MISSING", 0.0, 1.0, "no ego state received"))]
    age = ego_age_s(inputs, now)
    if age > limits.ego_emergency_s:
        return [Request(Mode.EMERGENCY_STOP, Reason("EGO_LOST", age, limits.ego_emergency_s, "age of ego state, s"))]
    if age > limits.ego_stop_s:
        return [_stop("EGO_STALE", age, limits.ego_stop_s, "age of ego state, s")]
    if age > limits.ego_warn_s:
        return [Request(Mode.NOMINAL, Reason("EGO_LATE", age, limits.ego_warn_s, "age of ego state, s"))]
    return []


def ego_age_s(inputs: Inputs, now: Now) -> float:
    """The larger of the ego state's reception age and data age; infinite before the first."""
    arrival = inputs.arrivals.get(EGO)
    if arrival is None:
        return float("inf")
    return max(seconds(now.monotonic_ns - arrival.received_ns), seconds(now.stamp_ns - arrival.stamp_ns))


def process_requests(inputs: Inputs, now: Now, config: SupervisorConfig) -> list[Request]:
    """Requests over the two other processes: heartbeats, progress, readiness."""
    limits = config.freshness
    requests = []
    for process, code, timeout_s in (
        (config.planner_process, "PLANNER", limits.planner_heartbeat_s),
        (config.guard_process, "CAMERA_GUARD", limits.guard_heartbeat_s),
    ):
        pulse = inputs.pulses.get(process)
        if pulse is None:
            requests.append(_fallback(f"{code}_MISSING", 0.0, 1.0, f"no heartbeat of {process} received"))
            continue
        silent = seconds(now.monotonic_ns - pulse.received_ns)
        if silent > timeout_s:
            requests.append(_fallback(f"{code}_SILENT", silent, timeout_s, f"since the last heartbeat of {process}, s"))
        if not pulse.heartbeat.ready:
            requests.append(_fallback(f"{code}_NOT_READY", 0.0, 1.0, pulse.heartbeat.detail))
        stuck = seconds(now.monotonic_ns - pulse.progress_ns)
        if stuck > limits.planner_hang_s and pulse.heartbeat.work_started > pulse.heartbeat.work_done:
            requests.append(_fallback(f"{code}_HANGS", stuck, limits.planner_hang_s, f"{process} finishes nothing, s"))
    return requests


def _stop(code: str, measured: float, limit: float, detail: str) -> Request:
    return Request(Mode.IN_LANE_STOP, Reason(code, measured, limit, detail))


def _fallback(code: str, measured: float, limit: float, detail: str) -> Request:
    return Request(Mode.FALLBACK, Reason(code, measured, limit, detail))
