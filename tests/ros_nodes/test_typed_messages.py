"""The vehicle's inputs through messages of onboard_vla_msgs, and what the processes say in them."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from onboard_vla.core.conditions import LIGHTS, ROAD_CLASSES, UNKNOWN, WEATHERS, OperatingConditions
from onboard_vla.core.errors import WireError
from onboard_vla.core.objects import ObjectList, TrackedObject
from onboard_vla.core.plan import PassCount, Plan, PlanRejection, Uncertainty
from onboard_vla.core.process_graph import TOPICS, VEHICLE
from onboard_vla.core.road import COMMANDS, SIGNAL_STATES, LaneObservation, Route, RouteCommand, Signal
from onboard_vla.core.safe_trajectory import (
    NO_STAMP,
    DriverState,
    Engagement,
    Mode,
    OperatorCommand,
    SafeTrajectory,
    Takeover,
)
from onboard_vla.core.scene_record import SceneRecord, SeenObject
from onboard_vla.core.verdict import Reason, Verdict

from .conftest import PACKAGE
from .message_stubs import constants_and_fields, texts_of

S = 1_000_000_000
STAMP = 1_795_000_000_123_456_789
stamps = st.integers(0, 2**31 * S - 1)
ids = st.integers(-(2**63), 2**63 - 1)
numbers = st.floats(width=64)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


def columns(count, *shape):
    return arrays.arrays(np.float64, (count, *shape), elements=numbers)


objects = st.builds(
    ObjectList,
    stamps,
    st.lists(
        st.builds(TrackedObject, ids, st.sampled_from(["vehicle", "pedestrian", "cyclist", "static"]), *[numbers] * 7),
        max_size=3,
    ).map(tuple),
)
signals = st.lists(st.builds(Signal, ids, numbers, numbers, st.sampled_from(SIGNAL_STATES)), max_size=2).map(tuple)
lanes = st.integers(0, 4).flatmap(
    lambda n: st.builds(LaneObservation, stamps, columns(n, 2), columns(n), columns(n), numbers, columns(n), signals)
)
commands = st.lists(st.builds(RouteCommand, numbers, numbers, st.sampled_from(COMMANDS)), max_size=2).map(tuple)
routes = st.integers(0, 4).flatmap(lambda n: st.builds(Route, texts, columns(n, 2), columns(n), commands))
conditions = st.builds(
    OperatingConditions,
    stamps,
    *(st.sampled_from((*words, UNKNOWN)) for words in (ROAD_CLASSES, LIGHTS, WEATHERS)),
    texts,
)
inputs = st.one_of(
    objects,
    lanes,
    routes,
    conditions,
    st.builds(DriverState, stamps, st.booleans()),
    st.builds(OperatorCommand, stamps, st.sampled_from(["engage", "disengage", "rearm", "stop"])),
)


def codec_for(typed, kind):
    return typed.codec.TYPED_CODECS[kind]


def assert_same(first, second):
    """Bit for bit, NaN included, whatever the kind."""
    assert type(first) is type(second)
    if dataclasses.is_dataclass(first):
        for field in dataclasses.fields(first):
            assert_same(getattr(first, field.name), getattr(second, field.name))
    elif isinstance(first, tuple):
        assert len(first) == len(second)
        for one, other in zip(first, second, strict=True):
            assert_same(one, other)
    else:
        np.testing.assert_array_equal(first, second)


@settings(max_examples=150, deadline=None)
@given(message=inputs)
def test_every_input_survives_to_the_bit(typed, message):
    codec = codec_for(typed, type(message))

    back = codec.unpack("", typed.through_dds(codec.pack(message)[""]))

    assert_same(back, message)


def test_the_kinds_that_a_vehicle_sends_without_a_standard_message_are_all_here(typed):
    from onboard_vla.ros_nodes.topics import TYPED_INPUTS

    assert set(typed.codec.TYPED_CODECS) == set(TYPED_INPUTS)
    assert {topic.kind for topic in TOPICS if topic.sender == VEHICLE} > set(TYPED_INPUTS)


FILLED = [
    ObjectList(STAMP, (TrackedObject(1, "cyclist", 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0),)),
    LaneObservation(STAMP, np.ones((2, 2)), np.ones(2), np.ones(2), 3.5, np.ones(2), (Signal(1, 2.0, 3.0, "red"),)),
    Route("r", np.ones((2, 2)), np.ones(2), (RouteCommand(0.0, 1.0, "turn left"),)),
    OperatingConditions(STAMP, "urban", "day", "dry", "here"),
    OperatorCommand(STAMP, "engage"),
]


@pytest.mark.parametrize(
    ("message", "spoil", "says"),
    [
        (FILLED[0], lambda m: setattr(m.header, "frame_id", "map"), "expected frame 'odom', found 'map'"),
        (FILLED[0], lambda m: setattr(m.objects[0], "kind", 0), r"TrackedObject.kind: expected one of 1 \(vehicle\)"),
        (FILLED[0], lambda m: setattr(m.objects[0], "kind", 9), "found 9"),
        (FILLED[0], lambda m: setattr(m.header.stamp, "nanosec", S), "not normalised"),
        (FILLED[1], lambda m: setattr(m.header, "frame_id", ""), "expected frame"),
        (FILLED[1], lambda m: m.left_m.append(1.0), "arrays of one length.*left_m 3"),
        (FILLED[1], lambda m: setattr(m.signals[0], "state", 0), "TrafficSignal.state"),
        (FILLED[2], lambda m: setattr(m.header, "frame_id", "base_link"), "expected frame"),
        (FILLED[2], lambda m: m.x_m.pop(), "x_m 1, y_m 2"),
        (FILLED[2], lambda m: setattr(m.commands[0], "command", 0), "RouteCommand.command"),
        (FILLED[3], lambda m: setattr(m, "weather", 7), "OperatingConditions.weather"),
        (FILLED[3], lambda m: setattr(m.stamp, "sec", -1), "not normalised"),
        (FILLED[4], lambda m: setattr(m, "command", 0), "OperatorCommand.command"),
    ],
)
def test_what_was_not_filled_in_or_does_not_fit_is_refused(typed, message, spoil, says):
    codec = codec_for(typed, type(message))
    packed = codec.pack(message)[""]
    spoil(packed)

    with pytest.raises(WireError, match=says):
        codec.unpack("", packed)


@pytest.mark.parametrize("kind", ["ObjectList", "LaneObservation", "Route", "OperatorCommand"])
def test_a_message_as_its_class_makes_it_is_refused(typed, kind):
    codec = next(codec for cls, codec in typed.codec.TYPED_CODECS.items() if cls.__name__ == kind)

    with pytest.raises(WireError):
        codec.unpack("", getattr(typed.messages, kind)())


def test_a_word_that_the_message_cannot_say_is_refused(typed):
    with pytest.raises(WireError, match=r"expected one of vehicle, .*found 'horse'"):
        codec_for(typed, ObjectList).pack(ObjectList(STAMP, (TrackedObject(1, "horse", *[0.0] * 7),)))


def reasons_of(packed):
    return tuple(Reason(r.code, r.measured, r.limit, r.detail) for r in packed)


def named(packed):
    return {pair.name: pair.value for pair in packed}


REASONS = (Reason("PLANNER_SILENT", float("inf"), 0.15, "no heartbeat"), Reason("a", 1.5, 2.5, "b"))


def test_plan_detail_holds_all_of_a_plan(typed):
    rng = np.random.default_rng(0)
    poses, fine = rng.normal(size=(4, 3)).astype("f4"), rng.normal(size=(8, 3)).astype("f4")
    signals = [rng.random(4).astype("f4") for _ in range(5)]
    doubt = Uncertainty(*signals, 1.25, {"front": 0.5})
    plan = Plan(
        7, STAMP, STAMP - 5, 0.5, poses, fine, (3, 9, 151_700), "slow", 0.75, "the light is red", doubt,
        PassCount(6, 1, 30), {"vision": 12.5, "decode": 40.0}, "a" * 64, {"front": 0.0, "back": 7.5},
        SceneRecord("", "left curve", (SeenObject("red signal", 12.0),), "yield", "bear left", "stop"), ("depth",),
    )  # fmt: skip

    detail = typed.through_dds(typed.views.to_plan_detail(plan))

    assert (detail.header.frame_id, detail.header.stamp.sec, detail.header.stamp.nanosec) == (
        "base_link",
        *divmod(STAMP, S),
    )
    np.testing.assert_array_equal(np.column_stack((detail.x_m, detail.y_m, detail.heading_rad)), poses)
    np.testing.assert_array_equal(np.column_stack((detail.fine_x_m, detail.fine_y_m, detail.fine_heading_rad)), fine)
    assert detail.oldest_frame_stamp.nanosec == (STAMP - 5) % S
    assert (detail.plan_id, detail.step_s, list(detail.action_tokens)) == (7, 0.5, [3, 9, 151_700])
    assert (detail.depth, detail.slow_probability) == (typed.messages.PlanDetail.DEPTH_SLOW, 0.75)
    assert (detail.rejection_code, detail.text, detail.bundle_hash) == ("", "the light is red", "a" * 64)
    for name, values in zip(("spread", "outside", "chosen", "second"), signals, strict=False):
        field = f"{name}_m" if name == "spread" else f"{name}_mass"
        np.testing.assert_array_equal(getattr(detail.uncertainty, field), values)
    np.testing.assert_array_equal(detail.uncertainty.second_distance_m, signals[4])
    assert (detail.uncertainty.negative_log_likelihood, named(detail.uncertainty.vision_ood)) == (1.25, {"front": 0.5})
    assert (detail.vision_passes, detail.prefill_passes, detail.decode_passes) == (6, 1, 30)
    assert named(detail.stage_times_ms) == {"vision": 12.5, "decode": 40.0}
    assert named(detail.camera_skew_ms) == {"front": 0.0, "back": 7.5}
    scene = detail.scene
    assert (scene.code, scene.scene, scene.intent, scene.lateral) == ("", "left curve", "yield", "bear left")
    assert (scene.longitudinal, [(o.kind, o.distance_m) for o in scene.objects]) == ("stop", [("red signal", 12.0)])
    assert list(detail.shed) == ["depth"]


def test_plan_detail_says_why_there_is_no_plan(typed):
    detail = typed.through_dds(typed.views.to_plan_detail(PlanRejection(8, STAMP, "TOO_FEW_TOKENS", "3 of 10")))

    assert (detail.plan_id, detail.rejection_code, detail.rejection_detail) == (8, "TOO_FEW_TOKENS", "3 of 10")
    assert (detail.depth, len(detail.x_m)) == (typed.messages.PlanDetail.DEPTH_UNKNOWN, 0)


def test_camera_verdict_holds_all_of_a_verdict(typed):
    packed = typed.through_dds(typed.views.to_camera_verdict(Verdict("front_left", STAMP, 4, False, REASONS, "c" * 64)))

    assert (packed.camera, packed.sequence, packed.usable) == ("front_left", 4, False)
    assert (packed.stamp.sec, packed.stamp.nanosec) == divmod(STAMP, S)
    assert reasons_of(packed.reasons) == REASONS
    assert packed.config_hash == "c" * 64


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("engagement", Engagement)
def test_supervisor_state_holds_all_but_the_points(typed, mode, engagement):
    takeover = Takeover(int(mode) % 3)
    message = SafeTrajectory(
        STAMP, 7, engagement, mode, "fallback", -1, REASONS, np.zeros((0, 6)), True, takeover, STAMP - 5, NO_STAMP,
        REASONS[1:], 3, "c" * 64,
    )  # fmt: skip

    packed = typed.through_dds(typed.views.to_supervisor_state(message))

    cls = typed.messages.SupervisorState
    assert packed.mode == getattr(cls, f"MODE_{mode.name}") > 0
    assert packed.engagement == getattr(cls, f"ENGAGEMENT_{engagement.name}") > 0
    assert packed.takeover == getattr(cls, f"TAKEOVER_{takeover.name}") > 0
    assert (packed.sequence, packed.source, packed.plan_id, packed.hazard_lights) == (7, "fallback", -1, True)
    assert (packed.takeover_stamp.sec, packed.takeover_stamp.nanosec) == divmod(STAMP - 5, S)
    assert (packed.driver_stamp.sec, packed.driver_stamp.nanosec) == (0, 0)
    assert (reasons_of(packed.reasons), reasons_of(packed.refusals)) == (REASONS, REASONS[1:])
    assert (packed.shadow_passes, packed.config_hash) == (3, "c" * 64)


@pytest.mark.parametrize(
    ("kind", "name", "otherwise"),
    [
        (
            Plan,
            "PlanDetail",
            {"poses": "x_m", "fine_poses": "fine_x_m", "passes": "vision_passes", "stage_ms": "stage_times_ms"},
        ),
        (PlanRejection, "PlanDetail", {"code": "rejection_code", "detail": "rejection_detail"}),
        (Uncertainty, "Uncertainty", {}),
        (SceneRecord, "SceneRecord", {}),
        (SeenObject, "SeenObject", {}),
        (Verdict, "CameraVerdict", {}),
        (SafeTrajectory, "SupervisorState", {"points": "stamp"}),
    ],
)
def test_no_field_of_the_core_is_left_out(kind, name, otherwise):
    _, fields = constants_and_fields(texts_of(PACKAGE)[name])
    expected = {otherwise.get(field.name, field.name.removesuffix("_ns")) for field in dataclasses.fields(kind)}

    assert expected - {"stamp"} <= set(fields)


def test_the_modes_keep_their_order(typed):
    numbers = [getattr(typed.messages.SupervisorState, f"MODE_{mode.name}") for mode in Mode]

    assert numbers == sorted(numbers)


@pytest.mark.parametrize("name", texts_of(PACKAGE))
def test_generated_classes_are_those_of_the_text(typed, name):
    """Also finds an environment whose messages were built from an older text."""
    constants, fields = constants_and_fields(texts_of(PACKAGE)[name])
    cls = getattr(typed.messages, name)

    assert {constant: str(getattr(cls, constant)) for constant in constants} == constants
    if typed.generated:
        assert list(cls.get_fields_and_field_types()) == list(fields)


def test_every_message_is_built_and_every_field_says_what_it_is():
    listed = re.findall(r'"msg/(\w+)\.msg"', (PACKAGE / "CMakeLists.txt").read_text(encoding="utf-8"))

    assert sorted(listed) == sorted(texts_of(PACKAGE))
    for name, text in texts_of(PACKAGE).items():
        _, fields = constants_and_fields(text)
        assert fields, name
        assert text.startswith("# "), name
