import copy
import json

import pytest

from onboard_vla.core.errors import PromptError
from onboard_vla.core.prompt import PromptTemplate, TextSegment, VideoSegment

GOOD = {
    "format": 1,
    "video_token": "<v>",
    "fields": {
        "speed": {"kind": "number", "minimum": 0, "maximum": 40, "format": "04.1f"},
        "command": {"kind": "choice", "values": {"turn left": "go left", "keep forward": "go on"}},
        "history": {"kind": "actions", "optional": True},
    },
    "segments": [
        {"text": "Look: "},
        {"video": "front"},
        {"text": "past {history} ", "when": "history"},
        {"text": "{speed} m/s, {command}."},
    ],
    "answer": {
        "fork_prefix": "It is",
        "fast_fork": " easy",
        "fast_rest": ". Do:",
        "slow_fork": " hard",
        "slow_rest": ". Why: ",
        "reasoning_suffix": " Do:",
        "answer_suffix": " end",
        "action_token": "<a{index}>",
        "action_count": 2,
        "step_s": 0.5,
        "max_reasoning_tokens": 8,
    },
}


def changed(*path_and_value):
    data = copy.deepcopy(GOOD)
    *path, last, value = path_and_value
    place = data
    for key in path:
        place = place[key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return data


@pytest.fixture
def template() -> PromptTemplate:
    return PromptTemplate(GOOD)


def test_prompt_is_text_and_videos_in_order(template: PromptTemplate) -> None:
    segments = template.render({"speed": 7.25, "command": "turn left"})
    assert segments == (TextSegment("Look: "), VideoSegment("front"), TextSegment("07.2 m/s, go left."))
    assert template.cameras == ("front",)


def test_optional_field_adds_its_segment(template: PromptTemplate) -> None:
    segments = template.render({"speed": 0.0, "command": "keep forward", "history": (3, 4)})
    assert segments[-1] == TextSegment("past <a3><a4> 00.0 m/s, go on.")


def with_back(**text) -> dict:
    data = copy.deepcopy(GOOD)
    data["segments"][2:2] = [{"text": "back: ", **text}, {"video": "back"}, {"text": ". ", **text}]
    return data


def test_a_camera_that_is_not_shown_takes_its_text_along() -> None:
    values = {"speed": 7.25, "command": "turn left"}
    told = PromptTemplate(with_back(camera="back"))
    told.check_optional(["back"])
    assert told.render(values, ("front",)) == PromptTemplate(GOOD).render(values)
    assert told.render(values) == told.render(values, ("back", "front")) == PromptTemplate(with_back()).render(values)


def test_a_camera_without_text_of_its_own_cannot_be_left_out() -> None:
    with pytest.raises(PromptError, match="camera 'back' is not required: expected the text around its pictures"):
        PromptTemplate(with_back()).check_optional(["back"])


def test_answers_share_the_prefix_up_to_the_fork(template: PromptTemplate) -> None:
    answer = template.answer
    assert answer.fast_answer((1, 2)) == "It is easy. Do:<a1><a2> end"
    assert answer.slow_answer("it rains.", (1, 2)) == "It is hard. Why: it rains. Do:<a1><a2> end"
    assert answer.fast_prefix == "It is easy. Do:"
    assert answer.slow_prefix == "It is hard. Why: "


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"speed": 1.0}, "'command' is missing"),
        ({"speed": 1.0, "command": "turn left", "mood": 1}, "unknown prompt field 'mood'"),
        ({"speed": -0.1, "command": "turn left"}, "0 to 40"),
        ({"speed": 40.1, "command": "turn left"}, "0 to 40"),
        ({"speed": float("nan"), "command": "turn left"}, "finite"),
        ({"speed": "1", "command": "turn left"}, "finite number"),
        ({"speed": True, "command": "turn left"}, "finite number"),
        ({"speed": 1.0, "command": "left"}, "one of turn left, keep forward"),
        ({"speed": 1.0, "command": "turn left", "history": (-1,)}, "indices"),
        ({"speed": 1.0, "command": "turn left", "history": 3}, "indices"),
    ],
)
def test_bad_field_values_are_refused(template: PromptTemplate, values: dict, says: str) -> None:
    with pytest.raises(PromptError, match=says):
        template.render(values)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (changed("format", 2), "prompt format 2"),
        (changed("segments", ...), "'segments' is missing"),
        (changed("segments", []), "list of segments"),
        (changed("extra", 1), "unknown key 'extra'"),
        (changed("segments", 0, {"text": "{mood}"}), "unknown field 'mood'"),
        (changed("segments", 0, {"text": "{history}"}), "segment of its own"),
        (changed("segments", 0, {"text": "{speed:.1f}"}), "placeholders"),
        (changed("segments", 0, {"text": "{"}), "Single"),
        (changed("segments", 0, {"video": "front"}), "shown twice"),
        (changed("segments", 0, {"audio": "front"}), "'text' is missing"),
        (changed("segments", 0, {"text": "a", "camera": "roof"}), "text of camera 'roof': expected one of front"),
        (changed("fields", "speed", "kind", "colour"), "number, choice or actions"),
        (changed("fields", "speed", "minimum", 50), "minimum <= maximum"),
        (changed("fields", "speed", "format", "?"), "format"),
        (changed("fields", "history", "optional", 1), "true or false"),
        (changed("answer", "slow_fork", " easy"), "both"),
        (changed("answer", "action_count", 0), "positive integer"),
        (changed("answer", "step_s", 0), "seconds above zero"),
        (changed("answer", "action_token", "<a>"), "index"),
        (changed("answer", "fork_prefix", ""), "expected text"),
    ],
)
def test_bad_templates_are_refused(data: dict, says: str) -> None:
    with pytest.raises(PromptError, match=says):
        PromptTemplate(data)


def test_template_is_read_from_a_file(tmp_path) -> None:
    path = tmp_path / "prompt.json"
    path.write_text(json.dumps(GOOD))
    assert PromptTemplate.load(path).field_names == ("speed", "command", "history")
    path.write_text("[1]")
    with pytest.raises(PromptError, match="expected a table"):
        PromptTemplate.load(path)
    path.write_text("{")
    with pytest.raises(PromptError, match="JSON"):
        PromptTemplate.load(path)
