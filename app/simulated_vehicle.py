"""What the configuration of supervisor and camera guard says of the world's vehicle, in the demo and in lock-step."""

from __future__ import annotations

from onboard_vla.core.conditions import DAY, DRY, MOTORWAY, RURAL, URBAN
from onboard_vla.safety.camera_guard_config import NOISE_FREE_STANDSTILL_S, CameraGuardConfig
from onboard_vla.safety.config import SIMULATION_PROFILE, SupervisorConfig
from onboard_vla.safety.input_config import REQUIRED, WheelLimits
from onboard_vla.safety.operating_domain import OperationalDesignDomain
from onboard_vla.world.world import AREA

SIMULATED_VEHICLE = SupervisorConfig(
    profile=SIMULATION_PROFILE,
    odd=OperationalDesignDomain(road_classes=(RURAL, URBAN, MOTORWAY), lights=(DAY,), weathers=(DRY,), areas=(AREA,)),
    camera_guard=CameraGuardConfig(frozen_standstill_s=NOISE_FREE_STANDSTILL_S),
    wheel=WheelLimits(presence=REQUIRED),
)
"""Provisional thresholds are accepted, its cameras have no noise, and it measures the speed of its wheels."""
