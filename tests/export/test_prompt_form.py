"""Prompts that a template did not write are told from those that it did, in ids and by their place."""

from __future__ import annotations

import dataclasses

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


def changed(assets, segments):
    """Assets whose prompt has other segments around the first two cameras' pictures alone."""
    fields = {
        "speed": {"kind": "number", "minimum": -3, "maximum": 60, "format": ".1f"},
        "history": {"kind": "actions", "optional": True},
    }
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
