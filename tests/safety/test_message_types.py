"""Fields of a wrong type are a refused message, for every kind of message and every field."""

from __future__ import annotations

from dataclasses import fields, make_dataclass, replace

import numpy as np
import pytest

from onboard_vla.core.clock import Now
from onboard_vla.core.conditions import OperatingConditions
from onboard_vla.core.ego import WheelSpeed
from onboard_vla.core.objects import ObjectList
from onboard_vla.core.plan import Heartbeat, PlanRejection
from onboard_vla.core.road import Route, RouteCommand
from onboard_vla.core.safe_trajectory import DriverState, OperatorCommand
from onboard_vla.core.verdict import Reason, Verdict
from onboard_vla.safety.inputs import TOPICS, Inputs
from onboard_vla.safety.message_types import require_types
from onboard_vla.safety.supervisor import Supervisor

from .driving_range import DECLARED, make_ego, make_object, make_plan, simulation_config, straight_poses
from .fuzz_plans import random_scene

NOW = Now(1_000_000_000, 1_000_000_000)
LANES = random_scene(np.random.default_rng(1)).lanes(NOW.stamp_ns)
MESSAGES = (
    make_ego(NOW.stamp_ns),
    WheelSpeed(NOW.stamp_ns, 10.0),
    ObjectList(NOW.stamp_ns, (make_object(1.0, 2.0),)),
    LANES,
    Route("r", LANES.centreline, LANES.speed_limit_mps, (RouteCommand(0.0, 1.0, "keep forward"),)),
    make_plan(NOW.stamp_ns, straight_poses()),
    PlanRejection(1, NOW.stamp_ns, "CODE", "detail"),
    Heartbeat("vla_planner", 1, 1, NOW.stamp_ns, 0, 0, True, ""),
    Verdict("front", NOW.stamp_ns, 1, False, (Reason("X", 1.0, 0.0, ""),), ""),
    OperatorCommand(NOW.stamp_ns, "engage"),
    DriverState(NOW.stamp_ns, False),
)
FIELDS = [(message, field.name) for message in MESSAGES for field in fields(message)]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_sound_messages_are_accepted(message):
    require_types(message)
    Inputs(simulation_config()).receive(message, NOW)


def named(value):
    return value if isinstance(value, str) else type(value).__name__


@pytest.mark.parametrize(("message", "name"), FIELDS, ids=named)
@pytest.mark.parametrize("wrong", [None, object(), (None,), {1: 2}])
def test_a_field_of_another_type_is_refused_by_name(message, name, wrong):
    broken = replace(message, **{name: wrong})
    with pytest.raises(TypeError, match=rf"{type(message).__name__}\.{name}: expected"):
        require_types(broken)
    inputs = Inputs(simulation_config())
    inputs.receive(broken, NOW)
    assert inputs.faults[TOPICS[type(message)]].code == "INPUT_MALFORMED"
    assert not inputs.plans
    assert not inputs.commands


def test_elements_and_nested_fields_are_looked_at():
    plan = make_plan(NOW.stamp_ns, straight_poses())
    for broken in (
        replace(plan, action_tokens=(1, "2")),
        replace(plan, uncertainty=replace(plan.uncertainty, spread_m=0.5)),
        replace(plan, stage_ms={"vision": "fast"}),
        replace(plan, poses=np.array([["a", "b", "c"]])),
        replace(plan, poses=np.array([[None, None, None]])),
        Verdict("front", 1, 1, False, ("BLACK",), ""),
        replace(make_ego(1), speed_mps=True),
    ):
        with pytest.raises(TypeError, match="expected"):
            require_types(broken)


WHOLE_FIELDS = [
    (message, field.name)
    for message in MESSAGES
    for field in fields(message)
    if type(getattr(message, field.name)) in (int, float)
]


@pytest.mark.parametrize(("message", "name"), WHOLE_FIELDS, ids=named)
@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 2**70, 10**400])
def test_a_whole_number_of_more_than_64_bits_is_refused_by_name(message, name, value):
    with pytest.raises(TypeError, match=rf"{type(message).__name__}\.{name}: expected .*, found a larger number"):
        require_types(replace(message, **{name: value}))
    for largest in (2**63 - 1, -(2**63)):
        require_types(replace(message, **{name: largest}))


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 10**400, np.uint64(2**63)])
@pytest.mark.parametrize("before", [(), (make_object(1.0, 2.0),)])
def test_an_objects_number_of_more_than_64_bits_is_refused_also_where_its_types_are_known(before, value):
    supervisor = Supervisor(simulation_config())
    for known in before:
        require_types(ObjectList(NOW.stamp_ns, (known,)))
    supervisor.receive(ObjectList(NOW.stamp_ns, (*before, make_object(1.0, 2.0, track_id=value))), NOW)
    found = {reason.code for reason in supervisor.tick(NOW).reasons}
    assert "INPUT_MALFORMED" in found
    assert "INTERNAL_ERROR" not in found


@pytest.mark.parametrize("value", [2**63, 10**400])
def test_conditions_stamped_with_more_than_64_bits_are_malformed(value):
    supervisor = Supervisor(simulation_config(odd=DECLARED))
    supervisor.receive(OperatingConditions(value, "urban", "day", "dry", "test"), NOW)
    found = {reason.code for reason in supervisor.tick(NOW).reasons}
    assert "ODD_CONDITIONS_MALFORMED" in found
    assert "INTERNAL_ERROR" not in found


ARRAY_FIELDS = [
    (message, field.name)
    for message in MESSAGES
    for field in fields(message)
    if isinstance(getattr(message, field.name), np.ndarray)
]


@pytest.mark.parametrize(("message", "name"), ARRAY_FIELDS, ids=named)
@pytest.mark.parametrize("kind", [np.int64, np.uint8, bool])
def test_arrays_of_whole_numbers_are_refused_by_name_and_raise_nothing_in_a_cycle(message, name, kind):
    broken = replace(message, **{name: getattr(message, name).astype(kind)})
    with pytest.raises(TypeError, match=rf"{type(message).__name__}\.{name}: expected"):
        require_types(broken)
    supervisor = Supervisor(simulation_config())
    supervisor.receive(broken, NOW)
    found = {reason.code for reason in supervisor.tick(NOW).reasons}
    assert "INPUT_MALFORMED" in found
    assert "INTERNAL_ERROR" not in found


def test_numpys_own_numbers_are_numbers():
    require_types(make_ego(np.int64(5), speed_mps=np.float32(3.0), x_m=7))


@pytest.mark.parametrize(
    ("wrong", "sound"),
    [(MESSAGES[5], MESSAGES[5]), (MESSAGES[7], MESSAGES[7]), (MESSAGES[8], MESSAGES[8]), (MESSAGES[9], MESSAGES[9])],
    ids=named,
)
def test_a_sound_message_of_the_kind_ends_the_fault(wrong, sound):
    inputs = Inputs(simulation_config())
    inputs.receive(replace(wrong, stamp_ns=None), NOW)
    assert len(inputs.faults) == 1
    inputs.receive(sound, NOW)
    assert not inputs.faults


def fresh():
    """Message classes that nobody has looked at yet, and a sound message: what was learned of a class is kept.

    An inner class of plain fields, whose combinations of types are remembered once they were sound; two of whose
    elements count, so that nothing may be remembered; a dictionary and a choice.
    """
    inner = make_dataclass("Inner", [("count", int), ("value", float)])
    listed = make_dataclass("Listed", [("name", str), ("values", tuple[int, ...])])
    pairs = make_dataclass("Pairs", [("one", tuple[int, ...]), ("other", tuple[str, ...])])
    kinds = {"inner": inner, "listed": listed, "pairs": pairs}
    outer = make_dataclass("Outer", [*kinds.items(), ("named", dict[str, float]), ("maybe", float | None)])
    return kinds, outer(inner(1, 2.0), listed("a", (1, 2)), pairs((1,), ("a",)), {"x": 1.0}, None)


def changed(kinds, sound, name, value):
    return replace(sound, **{name: kinds[name](*value) if name in kinds else value})


@pytest.mark.parametrize(
    ("name", "values"),
    [("maybe", [None, 1.0, 3]), ("named", [{}, {"x": 2}]), ("inner", [(1, 2.0), (np.int64(1), 7), (2, 2.5)]),
     ("listed", [("b", ()), ("b", (1, 2, 3))]), ("pairs", [((), ()), ((1, 2), ("b",))])],
)  # fmt: skip
def test_every_type_that_a_field_may_have_is_sound_again_and_again(name, values):
    kinds, sound = fresh()
    for value in values * 2:
        require_types(changed(kinds, sound, name, value))


@pytest.mark.parametrize(
    ("name", "value"),
    [("maybe", "1"), ("named", {1.0: 1.0}), ("named", {"x": "y"}), ("named", ["x"]), ("inner", (1.0, 2.0)),
     ("inner", (1, "2")), ("listed", ("a", ("1",))), ("listed", ("a", (1, "2"))), ("listed", (1, (1,))),
     ("pairs", (("1",), ())), ("pairs", ((), (1,)))],
)  # fmt: skip
@pytest.mark.parametrize("sound_first", [True, False])
def test_what_is_wrong_stays_wrong_however_often_it_and_sound_ones_come(name, value, sound_first):
    kinds, sound = fresh()
    for _ in range(3):
        if sound_first:
            require_types(sound)
        with pytest.raises(TypeError, match=rf"Outer\.{name}: expected"):
            require_types(changed(kinds, sound, name, value))


def test_another_class_with_the_same_fields_is_another_type():
    kinds, sound = fresh()
    with pytest.raises(TypeError, match=r"Outer\.inner: expected"):
        require_types(replace(sound, inner=make_dataclass("Other", [("count", int), ("value", float)])(1, 2.0)))
    require_types(changed(kinds, sound, "inner", (1, 2.0)))
