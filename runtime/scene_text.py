"""Reasoning text to a typed scene record: read whole and in known words, or not at all.

The form is that of the reference checkpoint (`world/dataset_episode.reasoning_text`):
"SCENE. KIND at 12 m. INTENT: LATERAL, LONGITUDINAL.", with none or several objects. Other checkpoints write other
texts: those are `malformed` here, and stay in the plan as text.
"""

from __future__ import annotations

import re

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
    SceneRecord,
    SeenObject,
)

_WORDS = "[a-z]+(?: [a-z]+)*"
_OBJECT = re.compile(rf"({_WORDS}) at ([0-9]{{1,3}}) m\. ")
_TEXT = re.compile(rf"({_WORDS})\. ((?:{_WORDS} at [0-9]{{1,3}} m\. )*)({_WORDS}): ({_WORDS}), ({_WORDS})\.")
_NOTHING_SAID = SceneRecord.unread(NO_REASONING)


def read_scene(text: str, *, complete: bool = True) -> SceneRecord:
    """The record that a text stands for; space around it does not count.

    `complete`: the model ended its text by itself.
    """
    text = text.strip()
    if not complete:
        return SceneRecord.unread(CUT_SHORT)
    if not text:
        return _NOTHING_SAID
    match = _TEXT.fullmatch(text)
    if match is None:
        return SceneRecord.unread(MALFORMED)
    scene, objects, intent, lateral, longitudinal = match.groups()
    seen = tuple(SeenObject(kind, float(distance)) for kind, distance in _OBJECT.findall(objects))
    known = scene in SCENES and intent in INTENTS and lateral in LATERAL_ACTIONS
    known = known and longitudinal in LONGITUDINAL_ACTIONS and all(found.kind in CRITICAL_KINDS for found in seen)
    return SceneRecord("", scene, seen, intent, lateral, longitudinal) if known else SceneRecord.unread(UNKNOWN_WORDS)
