"""Fallback settings for a road whose friction is known to be low."""

from __future__ import annotations

from dataclasses import replace

from onboard_vla.safety.config import FallbackSettings

GRAVITY = 9.81
USABLE_SHARE = 0.8
"""Share of friction times gravity that braking may count on: 6.3 m/s^2 at 0.8, 1.2 at 0.15."""
PLANNED_SHARE = 0.8
"""Share of the usable deceleration that is planned with; the rest is for error."""
CURVE_SHARE = 0.5
"""Share of friction times gravity that curves may take; 0.6 is where a vehicle begins to slide when it brakes too."""


def for_friction(settings: FallbackSettings, friction: float) -> FallbackSettings:
    """The same settings with every acceleration within what the tyres give; unchanged on a dry road."""
    usable = USABLE_SHARE * friction * GRAVITY
    planned = PLANNED_SHARE * usable
    idm = settings.idm
    return replace(
        settings,
        idm=replace(
            idm,
            acceleration_mps2=min(idm.acceleration_mps2, 0.5 * usable),
            comfort_mps2=min(idm.comfort_mps2, 0.6 * usable),
            clip_mps2=min(idm.clip_mps2, usable),
            brake_start_mps2=min(idm.brake_start_mps2, planned),
        ),
        lateral_acceleration_mps2=min(settings.lateral_acceleration_mps2, CURVE_SHARE * friction * GRAVITY),
        curve_deceleration_mps2=min(settings.curve_deceleration_mps2, 0.5 * usable),
        over_speed_mps2=min(settings.over_speed_mps2, 0.5 * usable),
        sight_deceleration_mps2=min(settings.sight_deceleration_mps2, 0.6 * usable),
    )
