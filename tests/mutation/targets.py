"""Which modules are mutated, and the fast unit suite that must notice.

No closed loop and no process is in a suite: those would catch many mutants by accident, in minutes.
"""

from __future__ import annotations

LADDER = ("test_ladder.py", "test_ladder_properties.py", "test_engagement.py", "test_takeover.py")
ROAD = ("test_road_and_collision.py", "test_room_and_crossing.py")

SUITES: dict[str, tuple[str, ...]] = {
    "ladder": LADDER,
    "engagement": LADDER,
    "takeover": LADDER,
    "idm": ("test_idm.py",),
    "longitudinal": ("test_longitudinal.py",),
    "last_resort": ("test_last_resort.py",),
    "hazard_gate": ("test_hazard_gate.py",),
    "guards.structure": ("test_structure_guard.py",),
    "guards.staleness": ("test_staleness_guard.py",),
    "guards.kinematics": ("test_kinematics_guard.py",),
    "guards.consistency": ("test_consistency_guard.py",),
    "guards.uncertainty": ("test_uncertainty_monitor.py",),
    "guards.worst": ("test_kinematics_guard.py",),
    "guards.road": ROAD,
    "guards.collision": ROAD,
    "guards.forecast": ROAD,
    "guards.recoverability": ("test_recoverability.py",),
    "guards.freshness": ("test_inputs.py",),
    "rss": ("test_rss.py",),
    "criticality": ("test_criticality.py",),
}
"""Module below `onboard_vla.safety` -> files below `tests/safety`."""
