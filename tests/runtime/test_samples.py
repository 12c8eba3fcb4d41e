"""Several answers to one prompt, drawn at once on the cached prefix: as if each had been decoded alone."""

import numpy as np
import pytest

from onboard_vla.core.bundle_manifest import ActionTokens
from onboard_vla.core.cameras import FrameSet
from onboard_vla.core.ego import EgoState
from onboard_vla.core.errors import EngineError
from onboard_vla.core.plan import Plan
from onboard_vla.runtime.answer_grammar import DecodeError
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.planner import Planner
from onboard_vla.runtime.samples import Draw, draw_actions

EGO = EgoState(0, 0.0, 0.0, 0.0, 8.0, 0.0, 0.0)
COUNT = 5


@pytest.fixture(scope="module")
def planner(bundles):
    return Planner(Bundle.open(bundles(1.1)), samples=8)


@pytest.fixture
def frames(tiny):
    images = {role: tuple(stack) for role, stack in tiny.random_images(np.random.default_rng(3)).items()}
    return FrameSet(1_500_000_000, images, dict.fromkeys(images, tuple(500_000_000 * k for k in range(4))))


@pytest.fixture
def plan(planner, frames):
    found = planner.plan(frames, EGO, "keep forward", 1)
    assert isinstance(found, Plan)
    return found


def alone(planner, tokens):
    """Logits (N, V) of one answer decoded by itself behind the same prefix, one token a pass."""
    sequence, answer = planner.decoder._sequence, planner.decoder._answer
    first = planner.bundle.manifest.actions.first_id
    sequence.keep(len(answer.fast_prefix))
    rows = [planner.decoder._action_decoder.rows[1].copy()]
    for token in tokens[:-1]:
        row = np.empty((1, planner.language.vocabulary_size), np.float32)
        sequence.push((first + int(token),), row)
        rows.append(row[0])
    sequence.keep(len(answer.fast_prefix))
    return np.array(rows)


def test_without_temperature_every_sample_is_the_plan(planner, plan):
    samples, trajectories = planner.draw(Draw(COUNT, temperature=0.0))

    assert samples.refused == 0
    assert (samples.tokens == np.array(plan.action_tokens)).all()
    assert (trajectories.poses == plan.poses).all()


def test_answers_side_by_side_do_not_see_each_other(planner, plan):
    """Logits of different answers in common passes are those that each has alone, to the last bits."""
    sequence, answer = planner.decoder._sequence, planner.decoder._answer
    actions = planner.bundle.manifest.actions
    tokens = np.random.default_rng(0).integers(0, actions.count, (COUNT, actions.per_answer))
    expected = np.array([alone(planner, row) for row in tokens])

    found = np.empty_like(expected)
    found[:, 0] = expected[:, 0]
    rows = np.empty((COUNT, planner.language.vocabulary_size), np.float32)
    for step in range(actions.per_answer - 1):
        sequence.push_branches((actions.first_id + tokens[:, step]).tolist(), len(answer.fast_prefix), rows)
        found[:, step + 1] = rows
    sequence.keep(len(answer.fast_prefix))

    assert np.abs(found - expected).max() < 1e-4
    assert np.abs(np.diff(expected[:, 1:], axis=0)).max() > 0.1, "all alike: nothing would show a mask that leaks"


def test_likelihoods_are_those_of_the_answers_tokens(planner, plan):
    samples, _ = planner.draw(Draw(COUNT, temperature=0.0))
    sequence, answer = planner.decoder._sequence, planner.decoder._answer
    first, expected = planner.bundle.manifest.actions.first_id, 0.0
    for step, logits in enumerate(alone(planner, plan.action_tokens)):
        said = (*answer.fast_prefix, *(first + token for token in plan.action_tokens[:step]))
        scores = sequence.scores(logits, said).astype(np.float64)
        expected += scores[first + plan.action_tokens[step]] - np.logaddexp.reduce(scores)

    assert samples.log_probability == pytest.approx([expected] * COUNT, abs=1e-4)


def test_a_pass_a_step_and_one_prefill(planner, plan):
    prefills, decodes = planner.language.prefills, planner.language.decodes

    planner.draw(Draw(COUNT))

    per_answer = planner.bundle.manifest.actions.per_answer
    assert (planner.language.prefills - prefills, planner.language.decodes - decodes) == (0, per_answer - 1)


def test_the_seed_repeats_samples():
    actions, logits = ActionTokens(0, 50, 1, 0.5, ""), np.zeros(50, np.float32)
    first, again, other = (draw_actions(Told([logits]), (), logits, actions, Draw(9, seed=s)) for s in (1, 1, 2))

    assert first.tokens.tolist() == again.tokens.tolist()
    assert first.tokens.tolist() != other.tokens.tolist()


def test_drawing_leaves_slow_thinking_possible(planner, frames):
    """What the model then thinks is the same; this model has nothing sensible to think here, and is refused alike."""

    def thought(draw_first):
        planner.plan(frames, EGO, "keep forward", 1)
        if draw_first:
            planner.draw(Draw(2))
        try:
            return planner.decoder.decode_further(12).generated
        except DecodeError as error:
            return str(error)

    assert thought(draw_first=True) == thought(draw_first=False)
    with pytest.raises(ValueError, match="fast answer"):
        planner.draw(Draw(2))


def test_too_many_samples_for_the_cache_are_an_error(planner, plan):
    with pytest.raises(EngineError, match="KV cache"):
        planner.draw(Draw(64))


class Told:
    """A sequence whose logits are given, step by step."""

    def __init__(self, logits):
        self.logits, self.step = logits, 0

    def keep(self, count):
        """Nothing lies in a cache."""

    def expect_finite(self, logits, where):
        """All are."""

    def scores(self, logits, answer):
        return logits

    def push_branches(self, ids, shared, logits):
        self.step += 1
        logits[:] = self.logits[self.step]


def test_draws_follow_the_distribution():
    """Two actions at odds of 1 to 3, and text in one of ten answers' steps: dropped and counted."""
    probability = np.array([0.1, 0.225, 0.675])
    logits = np.log(probability).astype(np.float32)
    actions = ActionTokens(1, 2, 1, 0.5, "")

    samples = draw_actions(Told([logits]), (), logits, actions, Draw(4000, seed=5))

    assert samples.refused / 4000 == pytest.approx(0.1, abs=0.02)
    assert samples.tokens.mean() == pytest.approx(0.75, abs=0.03)
    assert set(np.round(np.exp(samples.log_probability), 3)) == {0.225, 0.675}


@pytest.mark.parametrize("bad", [{"count": 1}, {"count": 4, "temperature": -1.0}, {"count": 4, "temperature": np.nan}])
def test_a_draw_that_cannot_be_is_refused(bad):
    with pytest.raises(ValueError, match="count of at least 2"):
        Draw(**bad)
