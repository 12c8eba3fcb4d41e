"""The wheel speed beside the odometry's: two sources that must agree, and what it means to lose one or both."""

from __future__ import annotations

from onboard_vla.core.clock import Now, seconds
from onboard_vla.core.safe_trajectory import Mode
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.config import SupervisorConfig
from onboard_vla.safety.input_config import REQUIRED
from onboard_vla.safety.inputs import WHEEL, Inputs
from onboard_vla.safety.ladder import Request


def wheel_requests(inputs: Inputs, odometry_lost: bool, now: Now, config: SupervisorConfig) -> list[Request]:
    """Its own loss L2 (where it is required, else reported); with the odometry's beside it L4."""
    limits = config.wheel
    arrival = inputs.arrivals.get(WHEEL)
    required = limits.presence == REQUIRED
    fault = inputs.faults.get(WHEEL)
    if arrival is None and fault is None:
        if not required:
            return []
        fault = Reason("WHEEL_MISSING", 0.0, 1.0, "no wheel speed received")
    elif arrival is not None:
        age = max(seconds(now.monotonic_ns - arrival.received_ns), seconds(now.stamp_ns - arrival.stamp_ns))
        if age > limits.silent_s:
            fault = Reason("WHEEL_SILENT", age, limits.silent_s, "age of the wheel speed, s")
    if fault is None:
        return []
    if not required:
        return [Request(Mode.NOMINAL, fault)]
    requests = [Request(Mode.FALLBACK, fault)]
    if odometry_lost:
        lost = Reason("SPEED_LOST", 2.0, 1.0, "speed sources lost: odometry and wheels")
        requests.append(Request(Mode.EMERGENCY_STOP, lost))
    return requests
