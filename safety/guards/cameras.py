"""What the camera guard's verdicts, and their absence, ask for: front to L2, one other to L1, two others to L2."""

from __future__ import annotations

from onboard_vla.core.cameras import FRONT
from onboard_vla.core.clock import Now, seconds
from onboard_vla.core.safe_trajectory import Mode
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.config import SupervisorConfig
from onboard_vla.safety.inputs import CameraHealth, Inputs
from onboard_vla.safety.ladder import Request


def camera_requests(inputs: Inputs, now: Now, config: SupervisorConfig) -> list[Request]:
    """Requests over all cameras that the configuration expects."""
    requests: list[Request] = []
    others: list[Reason] = []
    for camera in config.cameras:
        health = inputs.cameras.get(camera)
        reason = _missing(camera) if health is None else _fault(camera, health, inputs, now, config)
        if reason is not None and camera == FRONT:
            requests.append(Request(Mode.FALLBACK, reason))
        elif reason is not None:
            others.append(reason)
        elif health is not None:
            requests += [Request(Mode.NOMINAL, _about(camera, warning)) for warning in health.verdict.reasons]
        lost, limit = inputs.camera_arrivals.lost_fraction(camera), config.camera_arrivals.lossy_fraction
        if lost > limit:
            detail = f"{camera}: share of its pictures that did not come"
            requests.append(Request(Mode.REDUCED, Reason("CAMERA_LOSSY", lost, limit, detail)))
    level = Mode.REDUCED if len(others) <= 1 else Mode.FALLBACK
    return requests + [Request(level, reason) for reason in others]


def _fault(camera: str, health: CameraHealth, inputs: Inputs, now: Now, config: SupervisorConfig) -> Reason | None:
    """What keeps this camera from being used."""
    limits = config.freshness
    silent, age = seconds(now.monotonic_ns - health.received_ns), seconds(now.stamp_ns - health.verdict.stamp_ns)
    if silent > limits.verdict_s or age > limits.verdict_s + limits.guard_heartbeat_s:
        silent_limit = inputs.camera_arrivals.silence_limit_s(camera, limits.verdict_s, now.stamp_ns)
        age_limit = silent_limit + limits.guard_heartbeat_s
        if silent > silent_limit:
            return Reason("CAMERA_SILENT", silent, silent_limit, f"{camera}: since the last verdict, s")
        if age > age_limit:
            return Reason("CAMERA_STALE", age, age_limit, f"{camera}: age of the judged picture, s")
    if not health.verdict.usable:
        reasons = health.verdict.reasons or (Reason("CAMERA_UNUSABLE", 1.0, 0.0, ""),)
        return _about(camera, reasons[0])
    if camera == FRONT and health.bad_received_ns is not None:
        clean = seconds(now.monotonic_ns - health.bad_received_ns)
        if clean < config.ladder.front_clean_s:
            return Reason("CAMERA_RECOVERING", clean, config.ladder.front_clean_s, f"{camera}: clean for, s")
    return None


def _missing(camera: str) -> Reason:
    return Reason("CAMERA_MISSING", 0.0, 1.0, f"{camera}: no verdict received")


def _about(camera: str, reason: Reason) -> Reason:
    return Reason(reason.code, reason.measured, reason.limit, f"{camera}: {reason.detail}")
