"""What the model says and no text can show is a rejection: ids that the tokenizer lacks, marks of pictures."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from onboard_vla.core.cameras import FrameSet
from onboard_vla.core.ego import EgoState
from onboard_vla.core.plan import Plan, PlanRejection
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.planner import Planner

MORE = 5
EGO = EgoState(0, 0.0, 0.0, 0.0, 10.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def bundle(trained, tiny, tmp_path_factory):
    """The trained model, with more rows than its tokenizer has tokens."""
    folder, model = tmp_path_factory.mktemp("rows"), copy.deepcopy(trained[1])
    model.resize_token_embeddings(model.config.text_config.vocab_size + MORE)
    tiny.save(folder / "checkpoint", model)
    return Bundle.open(tiny.write_bundle(folder / "checkpoint", folder / "bundle"))


class Lifting:
    """An engine in one pass of which a token wins."""

    def __init__(self, engine, token, at):
        self._engine, self._token, self._at, self.executions = engine, token, at, 0

    def run(self, inputs, outputs):
        self._engine.run(inputs, outputs)
        if self.executions == self._at:
            outputs["logits"][:, self._token] = 1e4
        self.executions += 1


@pytest.fixture
def saying(bundle, tiny):
    """What is planned if `token` is said in pass `at`; pass 0 gives the first token of the reasoning."""
    images = tiny.random_images(np.random.default_rng(0))
    stamps = tuple(500_000_000 * k for k in range(4))
    frames = FrameSet(stamps[-1], {role: tuple(found) for role, found in images.items()}, dict.fromkeys(images, stamps))

    def plan(token, at):
        planner = Planner(bundle, depth="slow", look_ahead=False)
        planner.language._engine = Lifting(planner.language._engine, token, at)
        return planner.plan(frames, EGO, "turn left", 1)

    return plan


def test_an_id_without_a_token_in_the_reasoning_is_a_rejection(bundle, saying):
    rows = len(bundle.embeddings)
    assert isinstance(saying(0, -1), Plan)
    for token, at in ((rows - MORE, 0), (rows - 3, 3), (rows - 1, 3)):
        found = saying(token, at)
        assert isinstance(found, PlanRejection)
        assert found.code == "token_without_text"
        assert found.detail == f"token {token}, which is no text, stands at {at} in the reasoning"


@pytest.mark.parametrize("mark", ["video_pad", "vision_start", "vision_end"])
def test_a_mark_of_pictures_in_the_reasoning_is_a_rejection(bundle, saying, mark):
    found = saying(getattr(bundle.manifest.tokens, mark), 2)
    assert isinstance(found, PlanRejection)
    assert found.code == "token_without_text"


def test_what_ends_an_answer_ends_the_reasoning_though_it_pads_elsewhere(bundle, saying):
    tokens = bundle.manifest.tokens
    assert tokens.pad in tokens.end_of_answer
    for token in tokens.end_of_answer:  # what this model goes on with is no matter here
        assert getattr(saying(token, 2), "code", "too_few_actions") == "too_few_actions"
