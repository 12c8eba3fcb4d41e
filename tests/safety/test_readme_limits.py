"""The limits that the README's tables of guards name are the settings' defaults."""

# ruff: noqa: E501, RUF001 - a row of the table a line, with its minus signs

import itertools

import pytest

from onboard_vla.core.ego import HEADING_MAX_RAD, POSITION_MAX_M
from onboard_vla.safety.config import SupervisorConfig
from onboard_vla.safety.config_documents import README
from onboard_vla.safety.guards.lane_place import APART_S
from onboard_vla.safety.guards.recoverability import STANDING_M

C = SupervisorConfig()
PICTURE, EGO, FRESH, LANES, OBJECTS, KINEMATICS = C.camera_guard, C.ego, C.freshness, C.lanes, C.objects, C.kinematics
CONSISTENCY, ROAD, COLLISION, ACTUATORS = C.consistency, C.road, C.collision, C.actuators
SIDES = f"{PICTURE.frames} pictures; sides {PICTURE.side_frames}"
ROWS = {
    "BLACK": f"< {PICTURE.mean_min:g} ({PICTURE.mean_low_warn:g}); > {PICTURE.dark_fraction_max:g} "
    f"({PICTURE.dark_fraction_warn:g})",
    "OVEREXPOSED": f"> {PICTURE.mean_max:g} ({PICTURE.mean_high_warn:g}); > {PICTURE.bright_fraction_max:g} "
    f"({PICTURE.bright_fraction_warn:g})",
    "COVERED": f"> {PICTURE.flat_fraction_max:g} ({PICTURE.flat_fraction_warn:g}) | {SIDES}",
    "BLURRED": f"< {PICTURE.laplacian_min:g} ({PICTURE.laplacian_warn:g})",
    "LOW_ENTROPY": f"< {PICTURE.entropy_min:g} ({PICTURE.entropy_warn:g})",
    "NOISE": f"> {PICTURE.noise_max:g} ({PICTURE.noise_warn:g})",
    "FROZEN": f"{PICTURE.frozen_frames} in a row above {PICTURE.frozen_speed_mps:g} m/s; "
    f"{PICTURE.frozen_standstill_s:.1f} s below",
    "STAMP_ORDER": f"> {1e3 * PICTURE.future_s:g} ms ahead",
    "SKEWED": f"> {1e3 * PICTURE.skew_max_s:g} ms | 2 of {PICTURE.skew_frames} pictures",
    "CAMERA_SILENT": f"> {FRESH.verdict_s:g} s",
    "CAMERA_LOSSY": f"last {C.camera_arrivals.window} pictures that did not come | > {C.camera_arrivals.lossy_fraction:g}",
    "EGO_NOT_FINITE": f"{POSITION_MAX_M / 1e3:,.0f} km, {HEADING_MAX_RAD:,.0f} rad, "
    f"−{-EGO.speed_min_mps:g} to {EGO.speed_max_mps:g} m/s, {EGO.yaw_rate_max_rps:g} rad/s; "
    f"{EGO.speed_jump_mps:g} m/s + {EGO.acceleration_max_mps2:g} m/s²",
    "EGO_SPEED_SOURCES": f"over {EGO.speed_sources_window_s:g} s | > {EGO.speed_sources_mps:.1f} m/s",
    "EGO_SPEED_STUCK": f"over {EGO.gain_window_s:g} s while the speed does not change | > {EGO.stuck_gain_mps:g} m/s",
    "EGO_ACCELERATION": f"over {EGO.gain_window_s:g} s against the summed acceleration | > {EGO.gain_gap_mps:g} m/s",
    "EGO_POSE_STUCK": f"for {EGO.pose_stuck_s:g} s | > {EGO.stuck_speed_mps:g} m/s",
    "WHEEL_NOT_FINITE": f"> {C.wheel.silent_s:g} s",
    "SPEED_SOURCES_APART": f"> {C.wheel.apart_mps:.1f} m/s | {C.wheel.apart_messages} messages",
    "CLOCK_STEP": f"> {1e3 * C.clock.step_s:g} ms; ≥ {1e3 * C.clock.stop_step_s:g} ms | 2 ticks | L2; L3; held for "
    f"{C.clock.hold_s:g} s",
    "STAMP_IN_FUTURE": f"> {1e3 * FRESH.future_s:g} ms",
    "EGO_SKEWED": f"within {C.skew.window_s:g} s | > {1e3 * C.skew.skew_s:g} ms | {C.skew.messages} messages",
    "OBJECTS_NOT_FINITE": f"≤ {OBJECTS.speed_max_mps:g} m/s",
    "OBJECTS_JUMP": f"within {OBJECTS.window_s:g} s | ≥ {OBJECTS.jumps} beyond {OBJECTS.jump_m:g} m + "
    f"{OBJECTS.jump_per_s:g} m/s",
    "OBJECTS_VANISHED": f"within {OBJECTS.vanished_near_m:g} m before a list that is empty | ≥ {OBJECTS.vanished}",
    "LANES_DOUBTED": f"within the last {LANES.memory_s:g} s (the last one, and one every {APART_S:g} s): beside the vehicle and "
    f"at six places ahead, as far as it comes in {LANES.ahead_s:g} s (at least {LANES.ahead_m:g} m) and both lines reach | "
    f"> {LANES.shift_m:g} m, > {LANES.turn_rad:g} rad of the distance",
    "LANES_UNSTEADY": f"within {LANES.doubts_s:g} s | ≥ {LANES.doubts} |",
    "LANES_TURNED": f"> {LANES.turned_rad:g} rad; > {LANES.shift_m:g} m and {LANES.turned_rad:g} rad of the distance",
    "NOT_IN_LANE": f"> {LANES.turned_rad:g} rad",
    "ROUTE_CHANGED": f"comes in {LANES.ahead_s + LANES.memory_s:g} s | > {LANES.shift_m:g} m | at once | reported for "
    f"{LANES.reroute_s:g} s",
    "LANES_AWAY": f"> {LANES.away_m:g} m; > {LANES.route_away_m:g} m",
    "DUPLICATE_AUTHORITY": f"within {C.speakers.window_s:g} s; one id counting backwards and forwards | 2; "
    f"{C.speakers.backwards} messages | at once | L3, held for {C.speakers.hold_s:g} s",
    "PLANS_FROZEN": f"{C.speakers.frozen_plans} plans",
    "ACTUATOR_FAST": f"> {ACTUATORS.fast_mps:g} m/s | {ACTUATORS.confirm_s:g} s",
    "ACTUATOR_SLOW": f"> {ACTUATORS.slow_mps:g} m/s | {ACTUATORS.confirm_s:g} s",
    "ACTUATOR_LAG": f"outside every lag up to {ACTUATORS.lag_s:g} s, within {ACTUATORS.late_s:g} s",
    "ACTUATOR_LATERAL": f"published {ACTUATORS.path_s:g} s ago | > {ACTUATORS.lateral_m:.1f} m",
    "PLAN_SHAPE": f"0 to {C.structure.frame_skew_s:g} s; {1e2 * C.structure.fine_mismatch_m:g} cm",
    "PLAN_UNPLACED": f"({C.staleness.history_s:g} s)",
    "JUMP_…": f"speed {KINEMATICS.raw_speed_max_mps:g} m/s, its change {KINEMATICS.raw_speed_change_mps:g} m/s, backwards "
    f"{KINEMATICS.raw_reverse_m:g} m, sideways {KINEMATICS.raw_sideways_m:g} m, turn {KINEMATICS.raw_heading_step_rad:g} "
    f"rad, fine poses {KINEMATICS.fine_deviation_m:g} m",
    "ACCELERATION": f"{KINEMATICS.acceleration_max_mps2:g}, {KINEMATICS.deceleration_max_mps2:g}, "
    f"{KINEMATICS.lateral_acceleration_mps2:g} m/s²; {KINEMATICS.lateral_jerk_mps3:g}, "
    f"{KINEMATICS.longitudinal_jerk_mps3:g} m/s³",
    "CURVATURE": f"{KINEMATICS.curvature_per_m:g} 1/m; {KINEMATICS.steering_rad:g} rad; {KINEMATICS.steering_rate_rps:g} "
    f"rad/s; {KINEMATICS.yaw_rate_rps:g} rad/s; {KINEMATICS.yaw_acceleration_rps2:g} rad/s²",
    "ACCELERATION_HARD": f"{KINEMATICS.acceleration_warn_mps2:g}, {KINEMATICS.deceleration_warn_mps2:g}, "
    f"{KINEMATICS.lateral_warn_mps2:g} m/s²",
    "PLAN_START_SPEED": f"{CONSISTENCY.speed_mps:g} m/s; {CONSISTENCY.lateral_m:g} m; {CONSISTENCY.longitudinal_m:g} m + "
    f"{CONSISTENCY.longitudinal_per_speed_s:g} s · v; {CONSISTENCY.yaw_rad:g} rad",
    "OFF_ROAD": f"within {ROAD.horizon_s:g} s | {ROAD.outside_m:g} m",
    "RED_SIGNAL": f"within {ROAD.horizon_s:g} s, beyond the observed lane along its straight continuation | {ROAD.red_overrun_m:g} m",
    "COLLISION": f"({COLLISION.lateral_margin_m:g} m sides, {COLLISION.vulnerable_margin_m:g} m vulnerable, "
    f"{COLLISION.front_margin_m:g} m front)",
    "PET_BEFORE": f"{COLLISION.pet_ego_first_s:g} s; {COLLISION.pet_object_first_s:g} s",
    "REQUIRED_DECELERATION": f"(gap − {COLLISION.gap_margin_m:g} − {COLLISION.delay_s:g} v + "
    f"v_o²/{2 * COLLISION.other_brake_mps2:g})), unless the plan brakes half as hard | {COLLISION.a_req_mps2:g} m/s²",
    "DRAC": f"{COLLISION.drac_danger_mps2:g}; {COLLISION.drac_fatal_mps2:g} m/s²",
    "TTC": f"DRAC > {COLLISION.drac_safe_mps2:g} m/s², unless the plan brakes half of DRAC | {COLLISION.ttc_s:g} s",
    "RECOVERY_LENGTH": f"({C.recovery.cycle_s:g} s)",
    "RECOVERY_UNSEEN": f"({C.recovery.cycle_s + COLLISION.delay_s:g} s together) | the observed lane ahead of the front, "
    f"of the newest two messages the longer one, less "
    f"`sight_margin_m` ({C.fallback.sight_margin_m:g} m); a stop on {STANDING_M:g} m,",
    "SHIFT_LATERAL": f"{CONSISTENCY.shift_lateral_m:g}; {CONSISTENCY.shift_forward_m:g}; {CONSISTENCY.shift_back_m:g} m",
    "SWING_LATERAL": f"last {CONSISTENCY.swing_plans} plans, both above the limit | {CONSISTENCY.swing_lateral_m:g}; "
    f"{CONSISTENCY.swing_longitudinal_m:g} m",
}


@pytest.mark.parametrize("reason", ROWS)
def test_a_limit_in_the_tables_of_guards_is_the_default(reason):
    """Only the first row that a reason opens: the tables follow the order in which guards run."""
    text = README.read_text(encoding="utf-8").partition("### Input guards")[2].partition("## Parameters")[0]
    row = next(line for line in text.splitlines() if line.startswith(f"| `{reason}`"))
    assert ROWS[reason] in row


def test_the_tables_of_guards_are_not_broken_by_an_empty_line():
    text = README.read_text(encoding="utf-8").partition("### Input guards")[2].partition("## Parameters")[0]
    lines = text.splitlines()
    for before, line in itertools.pairwise(lines):
        if line.startswith("|") and not before.startswith("|"):
            assert lines[lines.index(line) + 1].startswith("|---"), line
