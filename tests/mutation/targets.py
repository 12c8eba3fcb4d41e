"""Which modules are mutated, and the fast unit suite that must notice.

No process is in a suite, and no closed loop where a unit test will do: those would catch many mutants by accident, in
minutes.
"""

from __future__ import annotations

LADDER = (
    "test_ladder.py",
    "test_ladder_limits.py",
    "test_ladder_properties.py",
    "test_engagement.py",
    "test_takeover.py",
)
ROAD = (
    "test_road_figures.py",
    "test_encroachment_figures.py",
    "test_room_figures.py",
    "test_room_and_crossing.py",
    "test_road_and_collision.py",
)
LANES = ("test_lane_guards.py", "test_lane_ahead_guards.py", "test_first_lane.py", "test_route_place.py")
MOTION = ("test_kinematics_guard.py", "test_guard_bounds.py")

SUITES: dict[str, tuple[str, ...]] = {
    "ladder": LADDER,
    "engagement": LADDER,
    "takeover": LADDER,
    "idm": ("test_idm.py",),
    "longitudinal": ("test_longitudinal.py",),
    "last_resort": ("test_last_resort.py",),
    "hazard_gate": ("test_hazard_gate.py",),
    "fallback": ("test_fallback_figures.py",),
    "friction": ("test_preconditions.py",),
    "preconditions": ("test_preconditions.py",),
    "proposals": ("test_proposal_figures.py",),
    "scoring": ("test_scoring.py", "test_scoring_blame.py"),
    "struck": ("test_next_lane.py", "test_passing_close.py", "test_scoring_blame.py"),
    "stop_line": ("test_stop_line.py",),
    "lane_leads": ("test_lane_lead_figures.py",),
    "speed_caps": ("test_speed_caps.py",),
    "guards.structure": ("test_structure_guard.py", "test_guard_bounds.py"),
    "guards.worst": MOTION,
    "guards.kinematics": MOTION,
    "guards.staleness": ("test_staleness_guard.py",),
    "guards.consistency": ("test_consistency_guard.py", "test_guard_bounds.py"),
    "guards.oscillation": ("test_oscillation_guard.py",),
    "guards.uncertainty": ("test_uncertainty_monitor.py",),
    "guards.second_opinion": ("test_second_opinion.py",),
    "guards.road": ("test_road_figures.py",),
    "guards.collision": ROAD,
    "guards.forecast": (*ROAD, "test_next_lane.py", "test_passing_close.py"),
    "guards.recoverability": ("test_recoverability.py",),
    "guards.freshness": ("test_inputs.py", "test_input_figures.py"),
    "guards.cameras": ("test_inputs.py", "test_camera_arrivals.py", "test_input_figures.py"),
    "guards.camera_arrivals": ("test_camera_arrivals.py",),
    "guards.clock": ("test_clock_guard.py",),
    "guards.clock_step": ("test_clock_guard.py",),
    "guards.speed": ("test_speed_guards.py", "test_speed_figures.py"),
    "guards.wheel": ("test_speed_guards.py", "test_input_figures.py"),
    "guards.objects": ("test_object_guards.py", "test_inputs.py"),
    "guards.lanes": ("test_lane_messages.py",),
    "guards.lane_place": LANES,
    "guards.lane_shift": LANES,
    "guards.route_place": LANES,
    "guards.authority": ("test_authority.py",),
    "guards.orders": ("test_orders.py",),
    "driver_watch": ("test_driver_watch.py",),
    "guards.actuators": ("test_actuators.py", "test_actuator_figures.py"),
    "drift": ("test_drift.py",),
    "guards.stamp_skew": ("test_stamp_skew.py",),
    "camera_guard": ("test_camera_guard.py",),
    "camera_guard_measures": ("test_camera_measures.py",),
    "camera_guard_skew": ("test_camera_skew.py",),
    "rss": ("test_rss.py",),
    "criticality": ("test_criticality.py",),
    "message_types": ("test_message_types.py",),
    "friction_watch": ("test_friction_watch.py",),
    "joined_path": ("test_joined_path.py",),
    "prediction": ("test_prediction.py",),
    "leads": ("test_object_leads.py",),
    "object_memory": ("test_object_memory.py",),
    "driving": ("test_driving.py",),
    "inputs": ("test_input_memory.py", "test_inputs.py", "test_input_figures.py"),
    "supervisor": (
        "test_supervisor_beginning.py",
        "test_supervisor_ticks.py",
        "test_supervisor_choices.py",
        "test_supervisor_decisions.py",
    ),
    "placed_plan": ("test_placed_plan.py",),
    "ego_history": ("test_ego_history.py",),
    "hot_standby": ("test_hot_standby.py",),
    "plan_guard": ("test_plan_guard.py", "test_plan_guard_order.py"),
    "rss_margin": ("test_rss_margin.py",),
    "operating_domain": ("test_operating_domain.py",),
}
"""Module below `onboard_vla.safety` -> files below `tests/safety`."""
