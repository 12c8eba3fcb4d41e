"""Every limit of the supervisor, with unit, range and source.

Sources name sections of docs/safety-basis.md ("2.6" is the plan validator table, "6.1" the ladder, and so on);
"own" marks a choice made here, with its reason in the field's comment or in the room's README.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from onboard_vla.core.cameras import CAMERAS, FRONT
from onboard_vla.core.clock import seconds
from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.errors import ConfigurationError
from onboard_vla.core.process_graph import CAMERA_GUARD, PLANNER
from onboard_vla.core.safe_trajectory import SHADOW
from onboard_vla.core.thresholds import Thresholds
from onboard_vla.core.validated import Validated, choice, limit, names
from onboard_vla.core.vehicle_gate import SILENCE_LIMIT_NS
from onboard_vla.safety.camera_guard_config import CameraGuardConfig
from onboard_vla.safety.input_config import (
    ActuatorLimits,
    AuthorityLimits,
    CameraArrivalLimits,
    ClockLimits,
    LaneLimits,
    ObjectLimits,
    SkewLimits,
    WheelLimits,
)
from onboard_vla.safety.operating_domain import OperationalDesignDomain

VEHICLE_PROFILE, SIMULATION_PROFILE = "vehicle", "simulation"
PROFILES = (VEHICLE_PROFILE, SIMULATION_PROFILE)
DRIVE = "drive"
AUTHORITIES = (DRIVE, SHADOW)
PERCEIVED, NOT_PERCEIVED = "objects_and_lanes", "none"
PERCEPTIONS = (PERCEIVED, NOT_PERCEIVED)
BLIND_AGE_S, BLIND_SPEED_MPS = 0.5, 30 / 3.6
"""Without objects and lanes: the most that a plan's age and the design domain's speed may be set to."""


@dataclass(frozen=True)
class FreshnessLimits(Validated):
    """How old an input may be. Reception ages run on the monotonic clock, data ages on the data clock."""

    ego_warn_s: float = limit(0.1, "s", "10.2 F18", 0.02, 1.0)
    ego_stop_s: float = limit(0.2, "s", "10.2 F18: L3", 0.04, 1.0)
    ego_emergency_s: float = limit(0.5, "s", "10.2 F18: L4", 0.1, 2.0)
    objects_reception_s: float = limit(0.3, "s", "10.2 F19: L3", 0.1, 2.0)
    objects_data_s: float = limit(0.5, "s", "own: 300 ms without a message, and the sensor's 200 ms", 0.1, 2.0)
    lanes_reception_s: float = limit(0.28, "s", "10.2 F20: L3 200 ms after the first that did not come", 0.1, 2.0)
    lanes_data_s: float = limit(0.5, "s", "own: as objects", 0.1, 2.0)
    future_s: float = limit(0.005, "s", "10.2 F16: future stamps", 0.0, 0.1)
    planner_heartbeat_s: float = limit(0.15, "s", "own: three periods at 20 Hz; kill to mode <= 0.25 s", 0.06, 1.0)
    planner_hang_s: float = limit(1.0, "s", "own: work started and not done", 0.1, 10.0)
    guard_heartbeat_s: float = limit(0.25, "s", "10.2 F4 and F13", 0.06, 1.0)
    verdict_s: float = limit(0.25, "s", "10.2 F4: 2.5 periods at 10 Hz", 0.1, 2.0)
    command_age_s: float = limit(1.0, "s", "own: what waited longer is not wanted now", 0.1, 5.0)
    tick_gap_s: float = limit(0.04, "s", "10.2 F23, which asks for L3 here: reported (docs/faults.md)", 0.02, 1.0)
    tick_gap_stop_s: float = limit(seconds(SILENCE_LIMIT_NS), "s", "own: the vehicle gate's limit; L3", 0.04, 2.0)


@dataclass(frozen=True)
class EgoLimits(Validated):
    """What the vehicle's own motion may look like before its source is doubted (L3)."""

    speed_min_mps: float = limit(-2.0, "m/s", "10.2 F17", -10.0, 0.0)
    speed_max_mps: float = limit(50.0, "m/s", "10.2 F17 (the world ends at 33 m/s)", 5.0, 80.0)
    speed_jump_mps: float = limit(2.5, "m/s", "10.2 F17, above 12 m/s^2 over the gap between two states", 0.5, 10.0)
    acceleration_max_mps2: float = limit(12.0, "m/s^2", "own: dry-road limit with margin", 6.0, 20.0)
    speed_sources_mps: float = limit(2.0, "m/s", "2.6: reported speed against odometry displacement", 0.5, 10.0)
    speed_sources_window_s: float = limit(0.4, "s", "own: keeps 5 cm of position noise below 0.2 m/s", 0.1, 2.0)
    yaw_rate_max_rps: float = limit(3.0, "rad/s", "own: above any road manoeuvre", 0.5, 10.0)
    gain_window_s: float = limit(0.9, "s", "10.2 F17: stuck within 1.0 s; speed against summed acceleration", 0.2, 1.5)
    gain_gap_mps: float = limit(1.5, "m/s", "own: 6 m/s^2 of braking, 0.2 s late in one of the two", 0.3, 10.0)
    stuck_spread_mps: float = limit(0.001, "m/s", "own: no measured speed is so steady", 0.0, 0.1)
    stuck_gain_mps: float = limit(0.5, "m/s", "own: 0.55 m/s^2 over the window", 0.1, 5.0)
    stuck_speed_mps: float = limit(0.5, "m/s", "own: below it a vehicle may stand", 0.1, 5.0)
    pose_stuck_s: float = limit(0.3, "s", "own: 15 states at 50 Hz", 0.04, 1.0)


@dataclass(frozen=True)
class StructureLimits(Validated):
    """The shape of a plan; exact, never padded, never repaired."""

    poses: int = limit(10, "poses", "1 and 10.2 F8", 1, 100)
    sub_steps: int = limit(5, "fine poses per pose", "bundle contract", 1, 50)
    step_s: float = limit(0.5, "s", "bundle contract", 0.05, 2.0)
    tokens: int = limit(10, "action tokens", "10.2 F8", 1, 100)
    fine_mismatch_m: float = limit(0.02, "m", "own: fine poses must end at the poses", 0.0, 0.5)
    frame_skew_s: float = limit(0.3, "s", "own: oldest newest picture against the anchor", 0.05, 2.0)


@dataclass(frozen=True)
class KinematicLimits(Validated):
    """Limits on smoothed derivatives (see `placed_plan.py`), and raw ones that no smoothing may hide."""

    acceleration_max_mps2: float = limit(3.0, "m/s^2", "2.6 recommended", 0.5, 10.0)
    deceleration_max_mps2: float = limit(6.0, "m/s^2", "2.6 recommended", 0.5, 12.0)
    lateral_acceleration_mps2: float = limit(4.0, "m/s^2", "2.6 recommended", 0.5, 10.0)
    lateral_jerk_mps3: float = limit(5.0, "m/s^3", "2.6 recommended (ISO 11270)", 0.5, 20.0)
    longitudinal_jerk_mps3: float = limit(8.4, "m/s^3", "2.6 recommended, except braking", 0.5, 30.0)
    curvature_per_m: float = limit(0.2, "1/m", "2.6 recommended", 0.01, 1.0)
    curvature_speed_floor_mps: float = limit(2.0, "m/s", "own: below it curvature of 5 cm steps is noise", 0.5, 5.0)
    yaw_rate_rps: float = limit(0.95, "rad/s", "2.6 recommended", 0.1, 5.0)
    yaw_acceleration_rps2: float = limit(1.93, "rad/s^2", "2.6 recommended", 0.1, 10.0)
    steering_rad: float = limit(0.6, "rad", "2.6 recommended; the vehicle's own lock", 0.05, 1.5)
    steering_rate_rps: float = limit(0.5, "rad/s", "2.6 recommended; the vehicle's own actuator", 0.05, 3.0)
    acceleration_warn_mps2: float = limit(2.4, "m/s^2", "2.6 recommended: reported", 0.5, 10.0)
    deceleration_warn_mps2: float = limit(4.05, "m/s^2", "2.6 recommended: reported", 0.5, 12.0)
    lateral_warn_mps2: float = limit(3.0, "m/s^2", "2.6 recommended: reported", 0.5, 10.0)
    raw_speed_max_mps: float = limit(45.0, "m/s", "own: codebook reaches 40 m/s", 5.0, 80.0)
    raw_speed_change_mps: float = limit(4.5, "m/s", "own: 6 m/s^2 over 0.5 s and quantisation, with margin", 1.0, 20.0)
    raw_reverse_m: float = limit(0.3, "m", "own: backward per step; forward driving only", 0.0, 2.0)
    raw_sideways_m: float = limit(1.0, "m", "own: sideways per step beyond the turn itself", 0.1, 5.0)
    raw_heading_step_rad: float = limit(0.7, "rad", "own: 0.95 rad/s over 0.5 s and quantisation", 0.1, 3.2)
    fine_deviation_m: float = limit(0.5, "m", "own: fine pose against the straight line of its step", 0.05, 3.0)


@dataclass(frozen=True)
class ConsistencyLimits(Validated):
    """A plan must begin where the vehicle is and move as the vehicle moves."""

    speed_mps: float = limit(2.0, "m/s", "2.6 recommended", 0.2, 10.0)
    lateral_m: float = limit(1.0, "m", "2.6 recommended", 0.1, 5.0)
    longitudinal_m: float = limit(1.0, "m", "2.6 recommended, at standstill", 0.1, 10.0)
    longitudinal_per_speed_s: float = limit(0.1, "s", "own: 100 ms of stamp error, 10.1", 0.0, 1.0)
    yaw_rad: float = limit(0.35, "rad", "2.6 recommended (TIER IV)", 0.05, 1.6)
    shift_lateral_m: float = limit(0.5, "m", "2.6 recommended: against the last valid plan, here and now", 0.05, 3.0)
    shift_forward_m: float = limit(1.0, "m", "2.6 recommended", 0.05, 5.0)
    shift_back_m: float = limit(0.3, "m", "2.6 recommended", 0.05, 5.0)
    swing_lateral_m: float = limit(0.75, "m", "own: change at 2 s, above nominal drives'", 0.1, 3.0)
    swing_longitudinal_m: float = limit(2.0, "m", "own: change at 2 s, above nominal drives'", 0.2, 10.0)
    swing_plans: int = limit(5, "plans", "own: one second at 5 Hz, in which a change may not be taken back", 2, 50)


@dataclass(frozen=True)
class StalenessLimits(Validated):
    """How old a plan may be: A_max(v) of section 7 item 6, with the L4 stop."""

    age_max_s: float = limit(1.5, "s", "7 item 6", 0.2, 3.0)
    margin_m: float = limit(2.0, "m", "7 item 6", 0.0, 10.0)
    stopping_plan_mps: float = limit(0.5, "m/s", "own: a plan ending slower contains its own stop", 0.0, 2.0)
    latency_budget_s: float = limit(0.8, "s", "own: p95 of plan age on arrival; L1", 0.1, 1.5)
    history_s: float = limit(2.0, "s", "own: ego history kept, longer than A_max", 1.0, 10.0)
    extrapolation_s: float = limit(0.06, "s", "own: three ego periods", 0.0, 0.2)


@dataclass(frozen=True)
class RoadLimits(Validated):
    """Drivable area and signals."""

    horizon_s: float = limit(3.0, "s", "2.6 out of lane", 0.5, 5.0)
    outside_m: float = limit(0.2, "m", "own: 5 cm quantisation and lane noise make 0 m trip", 0.0, 1.0)
    red_overrun_m: float = limit(0.5, "m", "own: front past the stop point", 0.0, 5.0)


@dataclass(frozen=True)
class CollisionLimits(Validated):
    """Footprints against constant-velocity predictions of independent objects."""

    horizon_s: float = limit(3.0, "s", "2.6 TIER IV", 0.5, 5.0)
    lateral_margin_m: float = limit(0.3, "m", "2.6 TIER IV", 0.0, 1.0)
    vulnerable_margin_m: float = limit(0.5, "m", "2.6 TIER IV", 0.0, 1.5)
    front_margin_m: float = limit(1.0, "m", "2.6 TIER IV", 0.0, 3.0)
    a_req_mps2: float = limit(4.0, "m/s^2", "2.5 (ii): reject or brake", 1.0, 8.0)
    gap_margin_m: float = limit(2.0, "m", "2.5 (ii)", 0.0, 5.0)
    delay_s: float = limit(0.4, "s", "2.5 (ii)", 0.0, 2.0)
    other_brake_mps2: float = limit(4.0, "m/s^2", "2.5 (ii)", 1.0, 10.0)
    ttc_s: float = limit(2.0, "s", "2.6 TIER IV", 0.5, 5.0)
    drac_safe_mps2: float = limit(1.5, "m/s^2", "2.6 TIER IV: below it TTC is not judged", 0.5, 4.0)
    drac_danger_mps2: float = limit(3.0, "m/s^2", "2.6 TIER IV", 1.0, 6.0)
    drac_fatal_mps2: float = limit(6.0, "m/s^2", "2.6 TIER IV: rejects a braking plan, too", 2.0, 10.0)
    pet_ego_first_s: float = limit(0.6, "s", "2.6 TIER IV", 0.0, 2.0)
    pet_object_first_s: float = limit(0.3, "s", "2.6 TIER IV: lowest of 0.3 to 1.0", 0.0, 2.0)
    confirm_lists: int = limit(2, "object lists", "10.3 S11: never ignored > 200 ms", 1, 5)
    unseen_brake_mps2: float = limit(
        6.0, "m/s^2", "own: taken for everybody whose lists have ended; hard braking of a car", 0.0, 10.0
    )
    coast_s: float = limit(0.3, "s", "own: a confirmed object missed in lists is kept so long at most", 0.0, 1.0)


@dataclass(frozen=True)
class RecoveryLimits(Validated):
    """The stop that must be free after one cycle of a plan (section 1, Black-Box Simplex)."""

    cycle_s: float = limit(0.2, "s", "own: a plan every 0.2 s (5 Hz); checked again when none comes", 0.02, 1.0)
    overrun_m: float = limit(1.0, "m", "2.6 longitudinal deviation: past the end of a standing plan", 0.0, 3.0)
    samples: int = limit(80, "samples of 0.1 s", "own: 8 s, the stop from 44 m/s", 10, 120)


@dataclass(frozen=True)
class IdmSettings(Validated):
    """Intelligent driver model: the recommended row of section 2.1, and the brake overlay of 2.4."""

    standstill_gap_m: float = limit(2.0, "m", "2.1 recommended", 0.5, 10.0)
    time_gap_s: float = limit(1.8, "s", "2.1 recommended", 0.5, 4.0)
    acceleration_mps2: float = limit(1.2, "m/s^2", "2.1 recommended", 0.1, 4.0)
    comfort_mps2: float = limit(2.0, "m/s^2", "2.1 recommended", 0.3, 4.0)
    clip_mps2: float = limit(6.0, "m/s^2", "2.1 recommended", 1.0, 10.0)
    exponent: float = limit(4.0, "1", "2.1 recommended", 1.0, 12.0)
    brake_start_mps2: float = limit(2.5, "m/s^2", "2.4 AEB overlay", 0.5, 6.0)
    brake_gain: float = limit(1.1, "1", "2.4 AEB overlay", 1.0, 2.0)
    brake_gap_m: float = limit(1.0, "m", "2.4 AEB overlay", 0.0, 5.0)
    lead_brake_mps2: float = limit(8.0, "m/s^2", "2.4 AEB overlay", 4.0, 12.0)


@dataclass(frozen=True)
class FallbackSettings(Validated):
    """Lane keeping in L2."""

    idm: IdmSettings = field(default_factory=IdmSettings)
    speed_cap_mps: float = limit(50 / 3.6, "m/s", "6.1 L2", 1.0, 40.0)
    lateral_acceleration_mps2: float = limit(2.0, "m/s^2", "own: below 3.0 of 10.3 S5", 0.3, 3.0)
    curve_deceleration_mps2: float = limit(1.5, "m/s^2", "own: slowing before a curve", 0.3, 3.0)
    over_speed_mps2: float = limit(2.0, "m/s^2", "own: comfort b bounds slowing to a lower speed", 0.3, 4.0)
    sight_deceleration_mps2: float = limit(3.0, "m/s^2", "own: stop within the observed lane", 0.4, 6.0)
    sight_margin_m: float = limit(2.0, "m", "10.3 S10", 0.0, 10.0)
    amber_deceleration_mps2: float = limit(3.0, "m/s^2", "own: stop at amber if this suffices", 1.0, 6.0)
    jerk_mps3: float = limit(4.0, "m/s^3", "10.3 S1: <= 4.13", 0.5, 10.0)
    emergency_jerk_mps3: float = limit(12.65, "m/s^3", "2.7 R157 careful human", 4.0, 30.0)
    join_time_s: float = limit(2.0, "s", "own: time over which a lateral offset decays", 0.5, 5.0)
    join_min_m: float = limit(6.0, "m", "own: at standstill", 2.0, 20.0)
    widest_offset_m: float = limit(1.0, "m", "2.2: proposals to either side", 0.0, 2.0)
    switch_margin: float = limit(0.03, "1", "own: score by which another side must be better", 0.0, 0.5)
    switch_hold_s: float = limit(1.0, "s", "own: a side is kept this long unless contact is near", 0.0, 10.0)
    contact_brake_s: float = limit(2.0, "s", "2.2: full braking this long before contact, at any speed", 0.5, 4.0)
    corridor_margin_m: float = limit(0.3, "m", "2.6 TIER IV, to either side of the footprint", 0.0, 1.5)
    period_s: float = limit(0.05, "s", "1: hot standby at 20 Hz", 0.01, 0.5)


@dataclass(frozen=True)
class StopSettings(Validated):
    """The two stops (6.1): deceleration and jerk, both positive numbers."""

    in_lane_mps2: float = limit(1.5, "m/s^2", "6.1 L3", 0.5, 4.0)
    in_lane_jerk_mps3: float = limit(1.0, "m/s^3", "6.1 L3", 0.2, 5.0)
    in_lane_cap_mps2: float = limit(4.0, "m/s^2", "6.1 L3 (R157)", 1.5, 6.0)
    emergency_mps2: float = limit(6.0, "m/s^2", "6.1 L4", 2.0, 10.0)
    emergency_jerk_mps3: float = limit(12.65, "m/s^3", "6.1 L4", 2.0, 30.0)
    emergency_a_req_mps2: float = limit(4.0, "m/s^2", "6.1 L4 entry", 2.0, 8.0)
    emergency_confirm_s: float = limit(0.3, "s", "own: a gap that one brake pulse opens is no L4", 0.0, 2.0)
    emergency_lists: int = limit(
        4, "object lists", "own: ghosts live three at most (sensor model); for L4 alone", 1, 10
    )


@dataclass(frozen=True)
class LadderSettings(Validated):
    """Times and counts of sections 6.1 and 6.2."""

    dwell_s: float = limit(2.0, "s", "6.2", 0.0, 60.0)
    clear_s: float = limit(5.0, "s", "6.1: L1 to L0", 0.0, 60.0)
    handback_clear_s: float = limit(3.0, "s", "6.2: L2 to L1, nobody asks for L2 for so long", 0.0, 60.0)
    window: int = limit(3, "plans", "6.2", 1, 10)
    rejections: int = limit(2, "plans", "6.2: 2 of 3", 1, 10)
    shadow_passes: int = limit(10, "plans", "6.2", 1, 100)
    fallback_max_s: float = limit(30.0, "s", "6.1: L2 lasts no longer", 1.0, 600.0)
    fallback_entries: int = limit(3, "entries", "6.1, 6.2: then L3", 1, 100)
    fallback_window_s: float = limit(600.0, "s", "6.1, 6.2", 1.0, 36000.0)
    changes_max: int = limit(4, "changes", "6.2: between the same two modes; then the safer one, held", 1, 100)
    changes_window_s: float = limit(60.0, "s", "6.2", 1.0, 3600.0)
    standstill_mps: float = limit(0.1, "m/s", "6.1 L5", 0.01, 0.5)
    standstill_s: float = limit(1.0, "s", "6.1 L5", 0.1, 10.0)
    front_clean_s: float = limit(3.0, "s", "own: front camera clean before handback (F1 asks 10)", 0.2, 60.0)
    front_history_s: float = limit(1.5, "s", "own: span of the model's pictures, 4 at 0.5 s", 0.0, 10.0)
    exit_fraction: float = limit(0.8, "1", "6.2: exit below 0.8 tau", 0.1, 1.0)
    reduced_speed: float = limit(0.8, "1", "6.1 L1: of the speed limit", 0.1, 1.0)


@dataclass(frozen=True)
class HandbackLimits(Validated):
    """What a plan must agree with before the model drives again (6.2)."""

    lateral_m: float = limit(0.3, "m", "6.2", 0.01, 2.0)
    heading_rad: float = limit(0.05, "rad", "6.2", 0.005, 0.5)
    speed_mps: float = limit(1.0, "m/s", "6.2", 0.1, 5.0)
    window_s: float = limit(1.0, "s", "6.2", 0.1, 3.0)
    acceleration_rms_mps2: float = limit(0.7, "m/s^2", "2.3 EC", 0.05, 5.0)
    jerk_rms_mps3: float = limit(0.5, "m/s^3", "2.3 EC", 0.05, 5.0)
    yaw_rate_rms_rps: float = limit(0.1, "rad/s", "2.3 EC", 0.01, 1.0)
    yaw_acceleration_rms_rps2: float = limit(0.1, "rad/s^2", "2.3 EC", 0.01, 1.0)


@dataclass(frozen=True)
class SupervisorConfig(Validated):
    """Supervisor and camera guard: everything that one configuration file says.

    `thresholds` None, or provisional on a vehicle, means L2 at best. `cameras`: cameras whose verdicts are expected.
    `planner_process`, `guard_process`: names in the heartbeats of the two processes.
    """

    profile: str = choice(VEHICLE_PROFILE, "own: `simulation` accepts provisional thresholds", PROFILES)
    authority: str = choice(DRIVE, "own: `shadow` publishes every verdict and never engages", AUTHORITIES)
    perception: str = choice(PERCEIVED, "own: `none` has no fallback, 0.5 s old plans at most, 30 km/h", PERCEPTIONS)
    thresholds: Thresholds | None = None
    cameras: tuple[str, ...] = names(CAMERAS, "own: verdicts expected; `front` must be among them")
    planner_process: str = choice(PLANNER, "own: name in its heartbeats")
    guard_process: str = choice(CAMERA_GUARD, "own: name in its heartbeats")
    vehicle: VehicleGeometry = field(default_factory=VehicleGeometry)
    odd: OperationalDesignDomain = field(default_factory=OperationalDesignDomain)
    camera_guard: CameraGuardConfig = field(default_factory=CameraGuardConfig)
    freshness: FreshnessLimits = field(default_factory=FreshnessLimits)
    ego: EgoLimits = field(default_factory=EgoLimits)
    wheel: WheelLimits = field(default_factory=WheelLimits)
    clock: ClockLimits = field(default_factory=ClockLimits)
    skew: SkewLimits = field(default_factory=SkewLimits)
    camera_arrivals: CameraArrivalLimits = field(default_factory=CameraArrivalLimits)
    objects: ObjectLimits = field(default_factory=ObjectLimits)
    lanes: LaneLimits = field(default_factory=LaneLimits)
    speakers: AuthorityLimits = field(default_factory=AuthorityLimits)
    actuators: ActuatorLimits = field(default_factory=ActuatorLimits)
    structure: StructureLimits = field(default_factory=StructureLimits)
    kinematics: KinematicLimits = field(default_factory=KinematicLimits)
    consistency: ConsistencyLimits = field(default_factory=ConsistencyLimits)
    staleness: StalenessLimits = field(default_factory=StalenessLimits)
    road: RoadLimits = field(default_factory=RoadLimits)
    collision: CollisionLimits = field(default_factory=CollisionLimits)
    recovery: RecoveryLimits = field(default_factory=RecoveryLimits)
    fallback: FallbackSettings = field(default_factory=FallbackSettings)
    stop: StopSettings = field(default_factory=StopSettings)
    ladder: LadderSettings = field(default_factory=LadderSettings)
    handback: HandbackLimits = field(default_factory=HandbackLimits)

    def __post_init__(self) -> None:
        super().__post_init__()
        if FRONT not in self.cameras:
            raise ConfigurationError(f"SupervisorConfig.cameras: expected {FRONT!r} among them, found {self.cameras}")
        if self.ladder.rejections > self.ladder.window:
            raise ConfigurationError("SupervisorConfig.ladder: rejections exceed the window they are counted in")
        if not self.freshness.ego_warn_s <= self.freshness.ego_stop_s <= self.freshness.ego_emergency_s:
            raise ConfigurationError("SupervisorConfig.freshness: expected ego_warn_s <= ego_stop_s <= ego_emergency_s")
        if self.odd.speed_min_mps >= self.odd.speed_max_mps:
            raise ConfigurationError("SupervisorConfig.odd: expected speed_min_mps below speed_max_mps")
        cap, fastest = self.fallback.speed_cap_mps, self.odd.speed_max_mps
        if cap > fastest:
            expected = f"expected at most odd.speed_max_mps, {fastest:g}"
            raise ConfigurationError(f"SupervisorConfig.fallback.speed_cap_mps: {expected}, found {cap:g}")
        if self.perception == NOT_PERCEIVED:
            self._check_blind()

    def _check_blind(self) -> None:
        for where, found, most in (
            ("staleness.age_max_s", self.staleness.age_max_s, BLIND_AGE_S),
            ("odd.speed_max_mps", self.odd.speed_max_mps, BLIND_SPEED_MPS),
        ):
            if found > most:
                expected = f"expected at most {most:.6g} where perception is none"
                raise ConfigurationError(f"SupervisorConfig.{where}: {expected}, found {found:g}")
