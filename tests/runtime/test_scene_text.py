"""Slow texts become typed records whole and in known words, or say why they do not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onboard_vla.core.scene_record import (
    CRITICAL_KINDS,
    CUT_SHORT,
    INTENTS,
    LATERAL_ACTIONS,
    LONGITUDINAL_ACTIONS,
    MALFORMED,
    NO_REASONING,
    SCENES,
    UNKNOWN_WORDS,
    UNREAD,
    SceneRecord,
    SeenObject,
)
from onboard_vla.runtime.scene_text import read_scene
from onboard_vla.world.dataset_episode import reasoning_text
from onboard_vla.world.expert import Expert
from onboard_vla.world.scene import CriticalObject, SceneDescription
from onboard_vla.world.world import World

TEXT = "straight road. lead vehicle at 12 m. follow: go straight, slow down."


def test_a_text_becomes_a_record():
    seen = (SeenObject("lead vehicle", 12.0),)
    assert read_scene(f"\n{TEXT} ") == SceneRecord("", "straight road", seen, "follow", "go straight", "slow down")
    several = read_scene(TEXT.replace(" follow", " red signal at 140 m. follow"))
    assert several.objects == (*seen, SeenObject("red signal", 140.0))
    assert read_scene("left curve. cruise: bear left, hold speed.").objects == ()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", NO_REASONING),
        (" \n", NO_REASONING),
        (TEXT[:-1], MALFORMED),
        (f"{TEXT} more", MALFORMED),
        (f"{TEXT}\n{TEXT}", MALFORMED),
        (TEXT.replace("12", "twelve"), MALFORMED),
        (TEXT.replace("12", "-12"), MALFORMED),
        (TEXT.replace("12", "1e3"), MALFORMED),
        (TEXT.replace("12", "1200"), MALFORMED),
        (TEXT.replace("12", "١٢"), MALFORMED),
        (TEXT.replace("straight road", "Straight road"), MALFORMED),
        (TEXT.replace("straight road", "straight  road"), MALFORMED),
        (TEXT.replace("follow", "overtake"), UNKNOWN_WORDS),
        (TEXT.replace("lead vehicle", "horse"), UNKNOWN_WORDS),
        (TEXT.replace("straight road", "car park"), UNKNOWN_WORDS),
        (TEXT.replace("go straight", "fly"), UNKNOWN_WORDS),
        (TEXT.replace("slow down", "go straight"), UNKNOWN_WORDS),
    ],
)
def test_what_is_not_wholly_understood_gives_a_reason_and_nothing_else(text, code):
    assert read_scene(text) == SceneRecord.unread(code)
    assert code in UNREAD


def test_a_text_that_was_ended_by_force_is_not_read_even_where_it_happens_to_fit():
    assert read_scene(TEXT, complete=False) == SceneRecord.unread(CUT_SHORT)


@given(
    st.sampled_from(SCENES),
    st.lists(st.tuples(st.sampled_from(CRITICAL_KINDS), st.integers(0, 999)), max_size=1),
    st.sampled_from(INTENTS),
    st.sampled_from(LATERAL_ACTIONS),
    st.sampled_from(LONGITUDINAL_ACTIONS),
)
def test_whatever_the_expert_can_say_is_read_back(scene, seen, intent, lateral, longitudinal):
    critical = tuple(CriticalObject(kind, float(distance), 0.0) for kind, distance in seen)
    record = read_scene(reasoning_text(SceneDescription(scene, critical, intent, lateral, longitudinal)))
    objects = tuple(SeenObject(kind, float(distance)) for kind, distance in seen)
    assert record == SceneRecord("", scene, objects, intent, lateral, longitudinal)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text):
    record = read_scene(text)
    assert (record.code in UNREAD) != (record.scene in SCENES)


def test_the_expert_of_a_world_is_read():
    assert not read_scene(reasoning_text(Expert(World(3, "quiet_road")).plan().scene)).code
