"""Options of processes, the process graph, and the count of refusals."""

from __future__ import annotations

import json

import numpy as np
import pytest

from onboard_vla.core.cameras import CAMERAS, CameraFrame
from onboard_vla.core.ego import EgoState
from onboard_vla.core.errors import ConfigurationError, EnvironmentLacksError, WireError
from onboard_vla.core.plan import Heartbeat
from onboard_vla.core.process import Option, Role
from onboard_vla.core.process_graph import (
    CAMERA_GUARD,
    PLANNER,
    PROCESSES,
    SUPERVISOR,
    TOPICS,
    VEHICLE,
    check_fits,
    received_by,
    sent_by,
    topic_for,
)
from onboard_vla.core.readiness import topics_towards
from onboard_vla.core.refusals import LOG_EVERY, LogState, Refusals, log_event

PERIOD = Option("period_s", float, 0.2, "seconds", 0.0, 5.0)
NAME = Option("name", str, None, "a name")
ROLE = Role(PLANNER, (PERIOD, NAME), lambda values: None)
EGO = EgoState(1, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
BEAT = Heartbeat(PLANNER, 1, 1, 1, 0, 0, True, "")


def frame(camera: str) -> CameraFrame:
    return CameraFrame(camera, 1, 0, np.zeros((2, 2, 3), np.uint8))


def test_defaults_are_filled_in_and_whole_numbers_pass_for_float() -> None:
    values = ROLE.values({"name": "x", "period_s": 3})

    assert values == {"name": "x", "period_s": 3.0}
    assert type(values["period_s"]) is float
    assert ROLE.values({"name": "x"})["period_s"] == 0.2


@pytest.mark.parametrize("period", [0.0, 5.0])
def test_limits_belong_to_the_range(period) -> None:
    assert ROLE.values({"name": "x", "period_s": period})["period_s"] == period


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "name is not set: expected a name"),
        ({"name": ""}, "name is not set: expected a name"),
        ({"name": 3}, "name: expected str"),
        ({"name": "x", "period_s": -0.01}, "period_s: expected 0 to 5, found -0.01"),
        ({"name": "x", "period_s": 5.01}, "found 5.01"),
        ({"name": "x", "period_s": True}, "found bool True"),
        ({"name": "x", "period_s": float("nan")}, "found nan"),
        ({"name": "x", "colour": 1}, "no option 'colour'"),
    ],
)
def test_wrong_options_are_refused(given, words) -> None:
    with pytest.raises(ConfigurationError, match=words):
        ROLE.values(given)


def test_options_describe_themselves_with_unit_and_range() -> None:
    assert Option("period_s", float, 0.2, "between plans", 0.0, 5.0, "s").described == "between plans, s, 0 to 5"
    assert NAME.described == "a name"


def test_every_topic_has_one_sender_and_other_receivers() -> None:
    assert len({topic.name for topic in TOPICS}) == len(TOPICS)
    for topic in TOPICS:
        assert topic.sender not in topic.receivers
        assert {topic.sender, *topic.receivers} <= {VEHICLE, *PROCESSES}


def test_supervisor_gets_no_pictures_and_the_planner_no_objects() -> None:
    assert not any(topic.camera for topic in received_by(SUPERVISOR))
    assert {topic.name for topic in received_by(PLANNER)} == {
        *(f"{kind}/{c}" for kind in ("camera", "camera_info") for c in CAMERAS),
        "ego",
        "route",
        "supervision",
    }


def test_messages_find_their_topic_by_sender_kind_and_camera() -> None:
    assert topic_for(VEHICLE, frame("back")).name == "camera/back"
    assert topic_for(PLANNER, BEAT).name == "planner_heartbeat"
    assert topic_for(CAMERA_GUARD, BEAT).name == "camera_guard_heartbeat"
    for sender, message in ((VEHICLE, frame("roof")), (PLANNER, EGO), (SUPERVISOR, BEAT)):
        with pytest.raises(WireError, match=f"{sender} has no topic"):
            topic_for(sender, message)


def test_message_on_the_wrong_topic_is_refused() -> None:
    front = next(topic for topic in sent_by(VEHICLE) if topic.camera == "front")

    check_fits(front, frame("front"))
    with pytest.raises(WireError, match="expected camera 'front'"):
        check_fits(front, frame("back"))
    with pytest.raises(WireError, match="expected CameraFrame, found EgoState"):
        check_fits(front, EGO)


def test_readiness_asks_for_what_the_vehicle_sends() -> None:
    assert [topic.name for topic in topics_towards(SUPERVISOR)] == [
        "ego",
        "wheel_speed",
        "objects",
        "lanes",
        "route",
        "conditions",
        "operator",
        "driver",
        "settings",
    ]
    with pytest.raises(EnvironmentLacksError, match="unknown process 'radio'"):
        topics_towards("radio")


def test_a_log_that_cannot_be_written_ends_nothing_and_is_counted(monkeypatch) -> None:
    class Full:
        def write(self, text: str) -> None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("onboard_vla.core.refusals.LOG", state := LogState())
    monkeypatch.setattr("sys.stderr", Full())
    log_event(SUPERVISOR, "x")
    Refusals(SUPERVISOR).add("ego", WireError("no header"))
    assert state.failed == 2
    assert "No space left" in state.error


def test_refusals_are_counted_and_rarely_logged(capsys) -> None:
    refusals = Refusals(SUPERVISOR)
    for _ in range(2 * LOG_EVERY):
        refusals.add("ego", WireError("no header"))
    refusals.add("lanes", WireError("x"))

    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert refusals.count == {"ego": 2 * LOG_EVERY, "lanes": 1}
    assert [(line["topic"], line["count"]) for line in lines] == [("ego", 1), ("ego", 100), ("ego", 200), ("lanes", 1)]
    assert lines[0]["error"] == "WireError: no header"
