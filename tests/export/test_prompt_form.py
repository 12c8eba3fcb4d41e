"""Prompts that a template did not write are told from those that it did, in ids and by their place."""

from __future__ import annotations

import dataclasses
from itertools import combinations, product

import numpy as np
import pytest

from onboard_vla.core.prompt import PromptTemplate
from onboard_vla.export.assets import read_assets
from onboard_vla.export.checkpoint import Checkpoint
from onboard_vla.export.prompt_form import PromptForm
from onboard_vla.runtime.prompt import PromptWriter

COMMANDS = "keep forward", "turn left", "turn right"
PROMPTS = 400


@pytest.fixture(scope="module")
def assets(reference_checkpoint):
    return read_assets(reference_checkpoint, Checkpoint(reference_checkpoint).model)


def written(assets, rng):
    """A prompt with any admissible fields; half of them with past actions."""
    fields = {"speed": float(rng.uniform(0, 99.9) * rng.uniform() ** 2), "command": str(rng.choice(COMMANDS))}
    if rng.uniform() < 0.5:
        fields["history"] = tuple(int(index) for index in rng.integers(0, 2048, rng.integers(0, 5)))
    return assets.prompt_writer().write_fields(fields).ids


def test_every_prompt_of_the_template_is_of_its_form(assets):
    rng = np.random.default_rng(0)
    for _ in range(PROMPTS):
        assert assets.prompt_form.unfit(written(assets, rng)) is None


def test_what_the_writer_can_only_write_with_other_fields_is_known_by_its_first_other_id(assets):
    """All but what the fields say, and the ids beside that."""
    prompt = assets.prompt_writer().write_fields({"speed": 5.0, "command": "turn left"}).ids
    pad, last = assets.tokens.video_pad, int(np.flatnonzero(prompt == assets.tokens.video_pad)[-1])
    free = []
    for at in np.flatnonzero(prompt != pad):
        ids = prompt.copy()
        ids[at] = (ids[at] + 1) % assets.tokenizer.size
        unfit = assets.prompt_form.unfit(ids)
        if unfit is None:
            free.append(int(at))
        else:
            assert unfit.position == at
            assert unfit.words.startswith(f"found id {ids[at]}, the prompt template has ")
    assert min(free) > last + 1, "before the first camera and between cameras"
    said = assets.tokenizer.decode(prompt[free].tolist())
    assert "5.0" in said
    assert "turn left" in said
    assert "assistant" not in said


@pytest.mark.parametrize("value", [-7, 10_000_000, "size"])
def test_an_id_that_no_token_has_is_named(assets, value):
    prompt = assets.prompt_writer().write_fields({"speed": 5.0, "command": "turn left"}).ids.copy()
    prompt[-4] = assets.tokenizer.size if value == "size" else value
    unfit = assets.prompt_form.unfit(prompt)
    assert unfit.position == len(prompt) - 4
    assert unfit.words == f"found id {prompt[-4]}, expected 0 to {assets.tokenizer.size - 1}"


def test_texts_that_are_missing_or_too_many_are_named(assets):
    prompt = assets.prompt_writer().write_fields({"speed": 5.0, "command": "turn left"}).ids
    pads = np.flatnonzero(prompt == assets.tokens.video_pad)
    form, first, last = assets.prompt_form, int(pads[0]), int(pads[-1])
    assert "ids of text before the next pictures" in form.unfit(np.insert(prompt, first, prompt[0])).words
    assert "visual tokens" in form.unfit(np.delete(prompt, first)).words
    assert "ids of text before the answer" in form.unfit(prompt[: last + 4]).words
    assert "goes on with pictures" in form.unfit(prompt[:first]).words
    assert "has no more of them" in form.unfit(np.append(prompt, [assets.tokens.video_pad, 1])).words
    assert form.unfit(prompt[:0]) is not None


FIELDS = {
    "speed": {"kind": "number", "minimum": -3, "maximum": 60, "format": ".1f"},
    "history": {"kind": "actions", "optional": True},
}


def changed(assets, segments, fields=FIELDS):
    """Writer and form of a template of its own around the first two cameras' pictures alone."""
    answer = dataclasses.asdict(assets.template.answer)
    document = {
        "format": 1,
        "video_token": assets.template.video_token,
        "fields": fields,
        "segments": segments,
        "answer": answer,
    }
    template = PromptTemplate(document)
    grids = {role: assets.grids[role] for role in template.cameras}
    writer = PromptWriter(template, assets.tokenizer, assets.tokens, grids, (1.0, 1.0))
    return writer, PromptForm.of(template, assets.tokenizer, assets.tokens.video_pad, grids)


@pytest.mark.parametrize(
    "segments",
    [
        [{"video": "front"}, {"video": "back"}, {"text": "{speed}"}],
        [{"video": "front"}, {"text": "past {history}.", "when": "history"}, {"video": "back"}],
        [
            {"text": "{speed} m/s, {speed}"},
            {"video": "front"},
            {"text": "so:"},
            {"video": "back"},
            {"text": " {speed}"},
        ],
    ],
    ids=["nothing between cameras", "a field between cameras", "fields at both ends"],
)
def test_templates_of_any_order_know_their_own_prompts(assets, segments):
    writer, form = changed(assets, segments)
    rng = np.random.default_rng(1)
    for _ in range(100):
        fields = {"speed": float(rng.uniform(-3, 60))}
        fields |= {"history": tuple(int(i) for i in rng.integers(0, 2048, 3))} if rng.uniform() < 0.5 else {}
        ids = writer.write_fields(fields).ids
        assert form.unfit(ids) is None
        assert form.unfit(ids[ids != assets.tokens.video_pad]) is not None


def optional_number(name):
    return {name: {"kind": "number", "minimum": 0, "maximum": 60, "format": ".1f", "optional": True}}


def subsets(names):
    return [chosen for count in range(len(names) + 1) for chosen in combinations(names, count)]


@pytest.mark.parametrize("count", [4, 5, 7])
def test_any_of_many_optional_fields_may_be_left_out(assets, count):
    names = [f"f{index}" for index in range(count)]
    fields = {name: field for one in map(optional_number, names) for name, field in one.items()}
    said = [{"text": f"field {name} is {{{name}}}. ", "when": name} for name in names]
    writer, form = changed(assets, [{"video": "front"}, {"video": "back"}, *said, {"text": "Now go on."}], fields)
    for chosen in subsets(names):
        ids = writer.write_fields(dict.fromkeys(chosen, 3.0)).ids
        assert form.unfit(ids) is None, chosen
        assert form.unfit(np.append(ids[:-1], ids[-1] + 1)).position == len(ids) - 1, "what is fixed is held, still"


def test_pictures_between_which_only_optional_text_stands_are_known_with_and_without_it(assets):
    names = [f"f{index}" for index in range(6)]
    fields = {name: field for one in map(optional_number, names) for name, field in one.items()}
    said = [{"text": f"{{{name}}} ", "when": name} for name in names]
    segments = [{"text": "See: "}, {"video": "front"}, *said[:3], {"video": "back"}, *said[3:], {"text": "Now go on."}]
    writer, form = changed(assets, segments, fields)
    for chosen in subsets(names):
        ids = writer.write_fields(dict.fromkeys(chosen, 12.0)).ids
        assert form.unfit(ids) is None, chosen
        pad = int(np.flatnonzero(ids == assets.tokens.video_pad)[0])
        assert "visual tokens" in form.unfit(np.delete(ids, pad)).words


KEEP = {"k": "keep", "kf": "keep going straight on"}
ON = {"f": " going straight on then", "n": " now"}


def test_each_choice_may_stand_beside_each(assets):
    fields = {name: {"kind": "choice", "values": values} for name, values in (("a", KEEP), ("b", ON))}
    segments = [{"video": "front"}, {"video": "back"}, {"text": "Now {a}{b} please"}]
    writer, form = changed(assets, segments, fields)
    for a, b in product(KEEP, ON):
        assert form.unfit(writer.write_fields({"a": a, "b": b}).ids) is None, (a, b)


def test_a_prompt_that_begins_as_it_ends_is_not_too_short(assets):
    segments = [{"video": "front"}, {"video": "back"}]
    segments += [{"text": "Drive on now, and go. ", "when": "f"}, {"text": "Drive on now, and go. "}]
    for extra in range(5):
        fields = {name: field for n in ["f", *"ghijk"[:extra]] for name, field in optional_number(n).items()}
        writer, form = changed(assets, segments, fields)
        for values in ({}, {"f": 1.0}):
            assert form.unfit(writer.write_fields(values).ids) is None


WORDS = [
    "",
    "a",
    "go",
    "go ",
    " go",
    "straight",
    " str",
    "aight",
    "1",
    "12",
    ".",
    "\n",
    "turn left",
    "turn",
    "<|im_end|>",
]


def random_template(rng):
    """Fields and segments of words that join, repeat and begin alike; and what makes values for some of the fields."""
    fields, values = {}, {}
    for index in range(rng.integers(1, 8)):
        name, optional = f"f{index}", bool(rng.uniform() < 0.7)
        kind = str(rng.choice(["number", "choice", "actions"]))
        if kind == "number":
            low, high = sorted(float(bound) for bound in rng.uniform(-20, 100, 2))
            fields[name] = {
                "kind": kind,
                "minimum": low,
                "maximum": high,
                "format": str(rng.choice([".1f", ".0f", "g"])),
            }
            values[name] = lambda low=low, high=high: float(rng.uniform(low, high))
        elif kind == "choice":
            texts = {str(number): str(text) for number, text in enumerate(rng.choice(WORDS[1:], rng.integers(1, 5)))}
            fields[name] = {"kind": kind, "values": texts}
            values[name] = lambda texts=texts: str(rng.choice(list(texts)))
        else:
            fields[name] = {"kind": kind}
            values[name] = lambda: tuple(int(action) for action in rng.integers(0, 2048, rng.integers(0, 4)))
        fields[name]["optional"] = optional
    segments = []
    for name in rng.permutation(list(fields)):
        text = f"{rng.choice(WORDS)}{{{name}}}{rng.choice(WORDS)}"
        segments.append({"text": text, **({"when": str(name)} if fields[name]["optional"] else {})})
        if word := str(rng.choice(WORDS)):
            segments.append({"text": word})
    for camera in ("back", "front"):
        segments.insert(int(rng.integers(0, len(segments) + 1)), {"video": camera})
    return fields, segments, values


@pytest.mark.parametrize("seed", range(40))
def test_no_prompt_of_any_template_is_refused(assets, seed):
    rng = np.random.default_rng(seed)
    fields, segments, values = random_template(rng)
    writer, form = changed(assets, segments, fields)
    for _ in range(50):
        said = {name: value() for name, value in values.items() if not fields[name]["optional"] or rng.uniform() < 0.5}
        unfit = form.unfit(writer.write_fields(said).ids)
        assert unfit is None, (segments, said, unfit)
