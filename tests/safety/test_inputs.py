"""What the supervisor takes in: every limit of freshness and plausibility on both sides, and what is refused."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.core.cameras import CAMERAS
from onboard_vla.core.clock import Now
from onboard_vla.core.objects import ObjectList
from onboard_vla.core.plan import Heartbeat
from onboard_vla.core.road import LaneObservation, Route, Signal
from onboard_vla.core.safe_trajectory import DriverState, Mode, OperatorCommand
from onboard_vla.core.verdict import Reason, Verdict
from onboard_vla.safety.guards.cameras import camera_requests
from onboard_vla.safety.guards.freshness import input_requests, process_requests
from onboard_vla.safety.inputs import Inputs

from .driving_range import make_ego, make_object, simulation_config

CONFIG = simulation_config()
T0 = 50_000_000_000
MS = 1_000_000
L2, L3, L4 = Mode.FALLBACK, Mode.IN_LANE_STOP, Mode.EMERGENCY_STOP


def at(ms, data_ms=None):
    return Now(T0 + round(ms * MS), T0 + round((ms if data_ms is None else data_ms) * MS))


def lanes(stamp_ns, **changes):
    x = np.arange(-10.0, 90.0, 2.0)
    wide = np.full(len(x), 2.0)
    values = dict(centreline=np.column_stack([x, 0 * x]), left_m=wide, right_m=wide, lane_width_m=3.5,
                  speed_limit_mps=wide * 5, signals=())  # fmt: skip
    return LaneObservation(stamp_ns=stamp_ns, **{**values, **changes})


ROUTE = Route("r", np.array([[0.0, 0.0], [100.0, 0.0]]), np.array([10.0, 10.0]), ())


def fed(objects_ms=0.0, lanes_ms=0.0, ego_ms=0.0, now=None):
    inputs = Inputs(CONFIG)
    now = now or at(0)
    inputs.receive(ROUTE, now)
    inputs.receive(make_ego(T0 + round(ego_ms * MS)), now)
    inputs.receive(ObjectList(T0 + round(objects_ms * MS), ()), now)
    inputs.receive(lanes(T0 + round(lanes_ms * MS)), now)
    return inputs


def asked(requests):
    return {(request.level, request.reason.code) for request in requests}


def test_fresh_inputs_ask_for_nothing():
    assert input_requests(fed(), at(10), CONFIG) == []


def test_missing_inputs_ask_for_a_stop_each():
    expected = {(L4, "EGO_MISSING"), (L3, "OBJECTS_MISSING"), (L3, "LANES_MISSING"), (L3, "ROUTE_MISSING")}
    assert asked(input_requests(Inputs(CONFIG), at(0), CONFIG)) == expected


@pytest.mark.parametrize("clock", ["reception", "data"])
@pytest.mark.parametrize(
    ("ms", "expected"),
    [
        (100.0, set()),
        (100.1, {(Mode.NOMINAL, "EGO_LATE")}),
        (200.0, {(Mode.NOMINAL, "EGO_LATE")}),
        (200.1, {(L3, "EGO_STALE")}),
        (500.0, {(L3, "EGO_STALE")}),
        (500.1, {(L4, "EGO_LOST")}),
    ],
)
def test_ego_age_counts_on_either_clock(clock, ms, expected):
    now = at(ms, 0) if clock == "reception" else at(0, ms)
    codes = {row for row in asked(input_requests(fed(), now, CONFIG)) if row[1].startswith("EGO")}
    assert codes == expected


@pytest.mark.parametrize(
    ("topic", "now", "code"),
    [("OBJECTS", at(300, 0), None), ("OBJECTS", at(300.1, 0), "SILENT"), ("LANES", at(280, 0), None),
     ("LANES", at(280.1, 0), "SILENT"), ("OBJECTS", at(0, 500), None), ("OBJECTS", at(0, 500.1), "STALE"),
     ("LANES", at(0, 500), None), ("LANES", at(0, 500.1), "STALE")],
)  # fmt: skip
def test_objects_and_lanes_age_on_both_clocks(topic, now, code):
    found = {row for row in asked(input_requests(fed(), now, CONFIG)) if row[1].startswith(topic)}
    assert found == ({(L3, f"{topic}_{code}")} if code else set())


@pytest.mark.parametrize("field", ["x_m", "y_m", "heading_rad", "speed_mps", "acceleration_mps2", "yaw_rate_rps"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_ego_values_that_are_not_finite_are_faults_until_a_good_one(field, value):
    inputs = fed()
    inputs.receive(make_ego(T0 + 20 * MS, **{field: value}), at(20))
    assert (L3, "EGO_NOT_FINITE") in asked(input_requests(inputs, at(20), CONFIG))
    assert inputs.history.newest.stamp_ns == T0
    inputs.receive(make_ego(T0 + 40 * MS), at(40))
    assert input_requests(inputs, at(40), CONFIG) == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"speed_mps": -1.99}, None),
        ({"speed_mps": -2.01}, "EGO_IMPLAUSIBLE"),
        ({"speed_mps": 50.1}, "EGO_IMPLAUSIBLE"),
        ({"yaw_rate_rps": 2.99}, None),
        ({"yaw_rate_rps": -3.01}, "EGO_IMPLAUSIBLE"),
        ({"x_m": -1e7}, None),
        ({"x_m": -1.01e7}, "EGO_IMPLAUSIBLE"),
        ({"y_m": 1.01e7}, "EGO_IMPLAUSIBLE"),
        ({"heading_rad": -1e3}, None),
        ({"heading_rad": -1.01e3}, "EGO_IMPLAUSIBLE"),
    ],
)
def test_ego_ranges_hold_on_both_sides(change, code):
    inputs = Inputs(CONFIG)
    inputs.receive(make_ego(T0, **change), at(0))
    assert inputs.faults.get("ego", Reason("", 0, 0, "")).code == (code or "")


@pytest.mark.parametrize(("change", "code"), [(2.7, ""), (2.8, "EGO_JUMP"), (-2.7, ""), (-2.8, "EGO_JUMP")])
def test_speed_jumps_hold_on_both_sides(change, code):
    inputs = fed()
    inputs.receive(make_ego(T0 + 20 * MS, speed_mps=10.0 + change, x_m=0.2), at(20))
    assert inputs.faults.get("ego", Reason("", 0, 0, "")).code == code


@pytest.mark.parametrize(
    ("travelled", "code"), [(11.9, ""), (12.1, "EGO_SPEED_SOURCES"), (8.1, ""), (7.9, "EGO_SPEED_SOURCES")]
)
def test_speed_is_held_against_displacement(travelled, code):
    inputs = Inputs(CONFIG)
    for k in range(30):
        inputs.receive(make_ego(T0 + k * 20 * MS, x_m=k * 0.02 * travelled), at(20 * k))
    assert inputs.faults.get("ego", Reason("", 0, 0, "")).code == code


@pytest.mark.parametrize("topic", ["ego", "objects", "lanes"])
def test_stamps_in_the_future_are_refused_beyond_the_tolerance(topic):
    make = {"ego": make_ego, "objects": lambda stamp: ObjectList(stamp, ()), "lanes": lanes}[topic]
    inputs = Inputs(CONFIG)
    inputs.receive(make(T0 + 5 * MS), at(0))
    assert topic in inputs.arrivals
    assert topic not in inputs.faults
    inputs.receive(make(T0 + 5 * MS + 1), at(0))
    assert inputs.faults[topic].code == "STAMP_IN_FUTURE"
    assert inputs.arrivals[topic].stamp_ns == T0 + 5 * MS


@pytest.mark.parametrize("topic", ["ego", "objects", "lanes"])
@pytest.mark.parametrize("back_ms", [0, 1, 1000])
def test_duplicates_and_time_running_backwards_refresh_nothing(topic, back_ms):
    make = {"ego": make_ego, "objects": lambda stamp: ObjectList(stamp, ()), "lanes": lanes}[topic]
    inputs = Inputs(CONFIG)
    inputs.receive(make(T0), at(0))
    inputs.receive(make(T0 - back_ms * MS), at(90))
    assert inputs.arrivals[topic].received_ns == T0
    assert inputs.faults == {}


@pytest.mark.parametrize("name", ["x_m", "y_m", "heading_rad", "vx_mps", "vy_mps", "length_m", "width_m"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_object_values_that_are_not_finite_are_faults(name, value):
    inputs = fed()
    inputs.receive(ObjectList(T0 + MS, (replace(make_object(1.0, 2.0), **{name: value}),)), at(1))
    assert (L3, "OBJECTS_NOT_FINITE") in asked(input_requests(inputs, at(1), CONFIG))


def test_impossible_and_endless_object_lists_are_faults():
    inputs = fed()
    inputs.receive(ObjectList(T0 + MS, (make_object(1.0, 2.0, length=0.0),)), at(1))
    assert inputs.faults["objects"].code == "OBJECTS_IMPLAUSIBLE"
    inputs.receive(ObjectList(T0 + 2 * MS, (make_object(1.0, 2.0),) * 1001), at(2))
    assert inputs.faults["objects"].code == "OBJECTS_TOO_MANY"
    inputs.receive(ObjectList(T0 + 3 * MS, (make_object(1.0, 2.0),) * 1000), at(3))
    assert "objects" not in inputs.faults


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"centreline": np.full((50, 2), np.nan)}, "LANES_NOT_FINITE"),
        ({"left_m": np.full(50, np.inf)}, "LANES_NOT_FINITE"),
        ({"right_m": np.full(50, np.nan)}, "LANES_NOT_FINITE"),
        ({"speed_limit_mps": np.full(50, np.nan)}, "LANES_NOT_FINITE"),
        ({"lane_width_m": math.nan}, "LANES_NOT_FINITE"),
        ({"signals": (Signal(1, math.nan, 0.0, "red"),)}, "LANES_NOT_FINITE"),
        ({"signals": (Signal(1, 0.0, 0.0, "blue"),)}, "LANES_IMPLAUSIBLE"),
        ({"left_m": np.full(49, 2.0)}, "LANES_IMPLAUSIBLE"),
        ({"left_m": np.full(50, -0.1)}, "LANES_IMPLAUSIBLE"),
        ({"lane_width_m": 0.0}, "LANES_IMPLAUSIBLE"),
        ({"centreline": np.zeros((50, 2))}, "INPUT_MALFORMED"),
        ({"centreline": np.zeros((0, 2))}, "LANES_IMPLAUSIBLE"),
    ],
)
def test_unusable_lanes_ask_for_the_fallback_and_the_last_good_one_is_kept(change, code):
    inputs = fed()
    inputs.receive(lanes(T0 + 20 * MS, **change), at(20))
    assert asked(input_requests(inputs, at(20), CONFIG)) == {(L2, code)}
    assert inputs.lanes.stamp_ns == T0


@pytest.mark.parametrize("points", [np.array([[0.0, np.nan], [1.0, 0.0]]), np.zeros((2, 2)), np.zeros((1, 2))])
def test_unusable_routes_ask_for_a_stop(points):
    inputs = fed()
    inputs.receive(Route("x", points, np.ones(len(points)), ()), at(1))
    assert {level for level, _ in asked(input_requests(inputs, at(1), CONFIG))} == {L3}


def beat(sequence, process="vla_planner", pid=1, started=5, done=5, ready=True):
    return Heartbeat(process, pid, sequence, T0, started, done, ready, "")


def alive():
    inputs = fed()
    inputs.receive(beat(1), at(0))
    inputs.receive(beat(1, "camera_guard"), at(0))
    return inputs


@pytest.mark.parametrize(
    ("ms", "expected"),
    [
        (150, set()),
        (150.1, {(L2, "PLANNER_SILENT")}),
        (250, {(L2, "PLANNER_SILENT")}),
        (250.1, {(L2, "PLANNER_SILENT"), (L2, "CAMERA_GUARD_SILENT")}),
    ],
)
def test_silent_processes_lead_to_the_fallback(ms, expected):
    assert asked(process_requests(alive(), at(ms), CONFIG)) == expected


def test_processes_never_heard_of_and_not_ready_lead_to_the_fallback():
    assert asked(process_requests(fed(), at(0), CONFIG)) == {(L2, "PLANNER_MISSING"), (L2, "CAMERA_GUARD_MISSING")}
    inputs = alive()
    inputs.receive(beat(2, ready=False), at(50))
    assert asked(process_requests(inputs, at(50), CONFIG)) == {(L2, "PLANNER_NOT_READY")}


def test_a_heartbeat_out_of_order_refreshes_nothing_unless_the_process_is_new():
    inputs = alive()
    inputs.receive(beat(1), at(140))
    assert asked(process_requests(inputs, at(151), CONFIG)) == {(L2, "PLANNER_SILENT")}
    inputs.receive(beat(1, pid=2), at(151))
    assert process_requests(inputs, at(160), CONFIG) == []
    assert inputs.planner_restarted


def test_a_live_thread_beside_a_dead_engine_is_a_hang():
    inputs = alive()
    for k in range(1, 50):
        inputs.receive(beat(1 + k, started=6), at(50 * k))
        inputs.receive(beat(1 + k, "camera_guard"), at(50 * k))
        expected = {(L2, "PLANNER_HANGS")} if 50 * k - 50 > 1000 else set()
        assert asked(process_requests(inputs, at(50 * k), CONFIG)) == expected
    inputs.receive(beat(60, started=7, done=6), at(2460))
    assert "PLANNER_HANGS" not in {code for _, code in asked(process_requests(inputs, at(2470), CONFIG))}


def verdict(camera, ms, usable=True):
    return Verdict(
        camera, T0 + round(ms * MS), round(ms), usable, () if usable else (Reason("BLACK", 0.0, 8.0, ""),), ""
    )


def seen(**bad):
    inputs = fed()
    for camera in CAMERAS:
        inputs.receive(verdict(camera, 0, camera not in bad.get("bad", ())), at(0))
    return inputs


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        ((), set()),
        (("front",), {(L2, "BLACK")}),
        (("back",), {(Mode.REDUCED, "BLACK")}),
        (("back", "back_left"), {(L2, "BLACK")}),
        (("front", "back"), {(L2, "BLACK"), (Mode.REDUCED, "BLACK")}),
    ],
)
def test_unusable_cameras(bad, expected):
    assert asked(camera_requests(seen(bad=bad), at(0), CONFIG)) == expected


def test_silent_and_missing_cameras():
    assert camera_requests(seen(), at(250), CONFIG) == []
    assert asked(camera_requests(seen(), at(250.1), CONFIG)) == {(L2, "CAMERA_SILENT")}
    assert asked(camera_requests(seen(), at(0, 501), CONFIG)) == {(L2, "CAMERA_STALE")}
    assert asked(camera_requests(seen(), at(0, 499), CONFIG)) == set()
    assert asked(camera_requests(fed(), at(0), CONFIG)) == {(L2, "CAMERA_MISSING")}


def test_the_front_camera_must_be_clean_for_a_while():
    inputs = seen(bad=("front", "back"))
    for camera in CAMERAS:
        inputs.receive(verdict(camera, 100), at(100))
    assert asked(camera_requests(inputs, at(100), CONFIG)) == {(L2, "CAMERA_RECOVERING")}
    for ms in (*range(200, 2901, 100), 2990):
        for camera in CAMERAS:
            inputs.receive(verdict(camera, ms), at(ms))
    assert asked(camera_requests(inputs, at(2999.9), CONFIG)) == {(L2, "CAMERA_RECOVERING")}
    assert camera_requests(inputs, at(3000), CONFIG) == []


def test_repeated_and_unknown_verdicts_refresh_nothing_but_bad_ones_always_count():
    inputs = seen()
    inputs.receive(verdict("front", 0), at(200))
    inputs.receive(verdict("roof", 0), at(200))
    assert set(inputs.cameras) == set(CAMERAS)
    assert "CAMERA_SILENT" in {code for _, code in asked(camera_requests(inputs, at(251), CONFIG))}
    inputs.receive(verdict("front", 0, usable=False), at(252))
    assert (L2, "BLACK") in asked(camera_requests(inputs, at(252), CONFIG))


def test_a_bad_verdict_without_reasons_is_still_bad():
    inputs = seen()
    inputs.receive(Verdict("front", T0 + MS, 1, False, (), ""), at(1))
    assert asked(camera_requests(inputs, at(1), CONFIG)) == {(L2, "CAMERA_UNUSABLE")}


def test_commands_and_override_are_kept_and_floods_are_bounded():
    inputs = Inputs(CONFIG)
    for k in range(100):
        inputs.receive(OperatorCommand(at(0).stamp_ns + k, "engage"), at(0))
    assert len(inputs.commands) == 8
    inputs.receive(DriverState(0, True), at(0))
    assert inputs.driver.acts(at(0))


def test_what_is_wrong_with_the_stamp_of_a_stop_that_counts_is_kept():
    inputs = Inputs(CONFIG)
    inputs.receive(OperatorCommand(at(0).stamp_ns, "stop"), at(0))
    assert list(inputs.untimely_commands) == []
    inputs.receive(OperatorCommand(0, "stop"), at(0))
    assert [reason.code for reason in inputs.untimely_commands] == ["COMMAND_OLD"]
    assert list(inputs.commands) == ["stop", "stop"]


@pytest.mark.parametrize("garbage", [None, "x", 7, b"", object(), [], make_object(0.0, 0.0)])
def test_messages_of_no_known_kind_are_ignored(garbage):
    inputs = Inputs(CONFIG)
    inputs.receive(garbage, at(0))
    assert inputs.faults == {}


def test_a_message_with_fields_of_the_wrong_type_is_a_fault():
    inputs = fed()
    inputs.receive(make_ego(T0 + MS, speed_mps="fast"), at(1))
    assert (L3, "INPUT_MALFORMED") in asked(input_requests(inputs, at(1), CONFIG))
    inputs.receive(replace(lanes(T0 + MS), left_m=None), at(1))
    assert (L2, "INPUT_MALFORMED") in asked(input_requests(inputs, at(1), CONFIG))
