"""F1 to F5 and the cameras' part of F16: what can happen to pictures."""

from __future__ import annotations

from onboard_vla.app.campaign import changes as to
from onboard_vla.app.campaign.fault_case import ADVISORY, DANGEROUS, NUISANCE, REACH, STAY, FaultCase
from onboard_vla.app.campaign.tamper import Change, Tamper
from onboard_vla.core.cameras import BACK, BACK_LEFT, CAMERAS, FRONT, FRONT_LEFT
from onboard_vla.core.safe_trajectory import Mode

GUARD = "camera guard"
FROZEN_MS, BLACK_MS, SLOW_MS, SILENT_MS, SKEW_MS = 400.0, 150.0, 450.0, 300.0, 500.0
"""Frozen: 3 pictures at 10 Hz and a tick. Black, white: one picture. Covered, blurred: 3 pictures and half a period.
Silent: 2.5 periods and a tick. Skew: five periods."""
LOST_SHARE = 0.3
"""F5: each picture is lost with this probability. Two lost in a row are a silence of 250 ms, which F4 has to answer
before the third is due; a plan needs pictures of one moment of all cameras, which 0.7^6 = 12 % of the moments have."""
SIDES = tuple(camera for camera in CAMERAS if camera != FRONT)


def _front(variant: str, change: Change, limit_ms: float, *names: str, note: str = "", fault: str = "F3") -> FaultCase:
    tamper = Tamper(chosen=to.frames(FRONT), change=change)
    return FaultCase(
        fault, variant, DANGEROUS, tamper, REACH, Mode.FALLBACK, limit_ms, names, GUARD, note=note, camera=FRONT
    )


def _side(fault: str, variant: str, camera: str, change: Change, limit_ms: float, *names: str) -> FaultCase:
    tamper = Tamper(chosen=to.frames(camera), change=change)
    return FaultCase(fault, variant, ADVISORY, tamper, REACH, Mode.REDUCED, limit_ms, names, GUARD, camera=camera)


def _skewed(camera: str, shift_ms: int, alike: bool = False) -> FaultCase:
    """Up to 40 ms old is tolerated, from 100 ms on found; between, either. More than 5 ms ahead is found at once."""
    asks = REACH if shift_ms > 5 or shift_ms <= -100 else STAY
    tolerated = Mode.FALLBACK if shift_ms < -40 else Mode.REDUCED
    return FaultCase(
        "F16",
        f"{camera.replace('_', ' ')} camera's stamps {shift_ms:+d} ms",
        ADVISORY if asks == REACH else NUISANCE,
        Tamper(chosen=to.frames(camera), change=to.stamped(shift_ms * to.MILLISECOND_NS)),
        asks,
        Mode.REDUCED if asks == REACH else tolerated,
        SKEW_MS,
        ("CAMERA_STALE", "STAMP_IN_FUTURE", "SKEWED", "PLAN_FRAME_SKEW", "CAMERA_SILENT", "STAMP_ORDER"),
        "camera guard, freshness guard",
        alike=alike,
    )


CAMERA_FAULTS: tuple[FaultCase, ...] = (
    _front("same bytes, fresh stamps", to.frozen, FROZEN_MS, "FROZEN", fault="F1"),
    _front("same picture, same stamp", to.replayed, SILENT_MS, "STAMP_ORDER", "CAMERA_SILENT", fault="F1"),
    *(_side("F2", camera.replace("_", " "), camera, to.frozen, FROZEN_MS, "FROZEN") for camera in SIDES),
    _front("black", to.picture(to.black), BLACK_MS, "BLACK"),
    _front("white", to.picture(to.white), BLACK_MS, "OVEREXPOSED"),
    _front("half covered", to.picture(to.covered(0.5)), SLOW_MS, "COVERED"),
    _front("80 % covered", to.picture(to.covered(0.8)), SLOW_MS, "COVERED"),
    _front("blurred", to.picture(to.blurred), SLOW_MS, "BLURRED", "COVERED"),
    _front("front", to.dropped, SILENT_MS, "CAMERA_SILENT", fault="F4"),
    _side("F4", "back", BACK, to.dropped, SILENT_MS, "CAMERA_SILENT"),
    *(
        FaultCase(
            "F5",
            f"30 % of {whose}",
            NUISANCE,
            Tamper(chosen=to.frames(*cameras), change=to.dropped_at_random(LOST_SHARE)),
            STAY,
            mode,
            0.0,
            (),
            "camera guard, staleness guard",
            note=note,
        )
        for whose, cameras, mode, note in (
            ("a side camera's", (BACK_LEFT,), Mode.REDUCED, ""),
            ("the front camera's", (FRONT,), Mode.FALLBACK, "two lost in a row look like F4 until the third is due"),
            ("all six cameras'", (), Mode.FALLBACK, "complete sets are so rare that plans grow older than A_max"),
        )
    ),
    *(_skewed(FRONT, shift) for shift in (-10, -40, -50, -100, -500, 10, 50, 100, 500)),
    *(_skewed(FRONT_LEFT, shift, shift not in (-100, 50)) for shift in (-10, -50, -100, -500, 10, 50, 100, 500)),
    *(_skewed(camera, shift, True) for camera in SIDES if camera != FRONT_LEFT for shift in (-50, 50, 100)),
)
