"""Several streams on one engine: the plans that each has alone, in fewer runs; none can spoil or hold up another."""

import threading
import time

import numpy as np
import pytest

from onboard_vla.core.cameras import FrameSet
from onboard_vla.core.ego import EgoState
from onboard_vla.core.errors import EngineError
from onboard_vla.core.plan import Plan
from onboard_vla.runtime import stream_batching
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.engine import OnnxEngine
from onboard_vla.runtime.language_model import LanguageModel
from onboard_vla.runtime.planner import Planner
from onboard_vla.runtime.positions import text_positions
from onboard_vla.runtime.stream_batching import NEVER, StreamBatch, _Pass
from onboard_vla.runtime.streams import PlanRequest, Streams

LONG_S = 60.0
"""For what ends at once if all is well."""


@pytest.fixture(scope="module")
def bundle(bundles):
    return Bundle.open(bundles(1.1))


@pytest.fixture
def streams(bundle):
    made = Streams(bundle, 3, look_ahead=False)
    yield made
    made.close()


def request(tiny, stream, **options):
    """Every stream sees other pictures; the second thinks slowly."""
    images = {role: tuple(stack) for role, stack in tiny.random_images(np.random.default_rng(stream)).items()}
    frames = FrameSet(1_500_000_000, images, dict.fromkeys(images, tuple(500_000_000 * k for k in range(4))))
    ego = EgoState(0, 0.0, 0.0, 0.0, 5.0 + stream, 0.0, 0.0)
    slow = stream == 1
    command = "turn left" if slow else "keep forward"
    return PlanRequest(frames, ego, command, stream, depth="slow" if slow else "fast", **options)


def alone(bundle, asked):
    return Planner(bundle, look_ahead=False).plan(
        asked.frames, asked.ego, asked.command, asked.plan_id, depth=asked.depth
    )


def signals(plan):
    return np.concatenate([plan.uncertainty.spread_m, plan.uncertainty.chosen_mass, plan.poses.ravel()]).tobytes()


def test_streams_get_the_plans_they_have_alone_in_fewer_runs(bundle, streams, tiny):
    asked = {stream: request(tiny, stream) for stream in range(3)}

    plans = streams.plan_all(asked)

    passes = 0
    for stream, plan in plans.items():
        expected = alone(bundle, asked[stream])
        assert isinstance(plan, Plan)
        assert (plan.action_tokens, plan.text, plan.depth) == (expected.action_tokens, expected.text, expected.depth)
        assert plan.passes == expected.passes
        assert np.abs(plan.uncertainty.spread_m - expected.uncertainty.spread_m).max() < 1e-3
        passes += plan.passes.prefill + plan.passes.decode
    assert streams.batch.joined > 0
    assert streams.batch.runs < passes


def test_the_same_requests_give_the_same_bits(bundle, tiny):
    found = []
    for _ in range(2):
        made = Streams(bundle, 3, look_ahead=False)
        found.append([signals(p) for p in made.plan_all({s: request(tiny, s) for s in range(3)}).values()])
        made.close()

    assert found[0] == found[1]


def test_a_stream_alone_is_equal_to_the_bit(bundle, streams, tiny):
    asked = request(tiny, 0)

    assert signals(streams.plan(2, asked)) == signals(alone(bundle, asked))
    assert streams.batch.joined == 0


def test_a_plan_past_its_deadline_is_given_up_and_nobody_else(streams, tiny):
    asked = {0: request(tiny, 0), 2: request(tiny, 2, deadline_s=time.monotonic() - 1.0)}

    plans = streams.plan_all(asked)

    assert isinstance(plans[0], Plan)
    assert plans[2].code == "cancelled"
    assert "deadline" in plans[2].detail


def test_a_stream_near_its_deadline_does_not_wait_for_others(streams, tiny, monkeypatch):
    """Another stream has begun to plan and never comes."""
    monkeypatch.setattr(stream_batching, "RESERVE_S", 2 * LONG_S)

    with streams.batch.planning({1: NEVER}):
        plan = streams.plan(0, request(tiny, 0, deadline_s=time.monotonic() + LONG_S))

    assert isinstance(plan, Plan)


def test_the_earliest_deadline_goes_first_where_not_all_fit(monkeypatch):
    monkeypatch.setattr(stream_batching, "MOST_ROWS", 8)
    batch, soon = StreamBatch(None, 4), time.monotonic() + LONG_S
    batch._waiting = [
        _Pass(stream, deadline, {"embeds": np.empty((4, 1))}, {})
        for stream, deadline in enumerate((NEVER, soon + 1, soon, NEVER))
    ]

    assert [one.stream for one in batch._due()] == [2, 1]


def models(bundle, engine, count):
    """Language models on one batch, each behind a prefill of its own."""
    batch, made = StreamBatch(engine, count), []
    text = bundle.manifest.model.text
    for stream in range(count):
        model = LanguageModel(batch.engine(stream), text, 80)
        rng = np.random.default_rng(stream)
        embeddings = rng.standard_normal((40, text.hidden_size), np.float32)
        logits = np.empty((2, text.vocabulary_size), np.float32)
        model.forward(embeddings, text_positions(0, 40), np.array([38, 39]), logits)
        made.append(model)
    return batch, made


def step_all(batch, made, embeddings):
    """One further token of every stream at once; logits, or the error that its thread met."""
    found = {}

    def step(stream):
        logits = np.empty((1, made[stream].vocabulary_size), np.float32)
        try:
            made[stream].forward(embeddings[stream], text_positions(40, 1), np.array([0]), logits)
            found[stream] = logits
        except EngineError as error:
            found[stream] = error
        finally:
            batch.leave(stream)

    with batch.planning(dict.fromkeys(range(len(made)), NEVER)):
        threads = [threading.Thread(target=step, args=(stream,)) for stream in range(len(made))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LONG_S)
            assert not thread.is_alive()
    return found


def test_numbers_that_are_not_finite_stay_in_their_stream(bundle):
    """Also in the passes that follow: nothing of them is left where the others' sums run over it."""
    engine = OnnxEngine(bundle.path / bundle.manifest.language_graph)
    text = bundle.manifest.model.text
    good = np.random.default_rng(7).standard_normal((3, 1, text.hidden_size), np.float32)
    bad = good.copy()
    bad[1] = np.nan
    batch, made = models(bundle, engine, 3)
    _, others = models(bundle, engine, 3)

    first = step_all(batch, made, bad)
    assert batch.joined == 0, "whose they are is found out one by one"
    made[1].rollback(40)
    second = step_all(batch, made, good)
    assert batch.joined == 3

    assert np.isnan(first[1]).all()
    for stream in (0, 2):
        expected = np.empty((1, text.vocabulary_size), np.float32)
        others[stream].forward(good[stream], text_positions(40, 1), np.array([0]), expected)
        assert np.abs(first[stream] - expected).max() < 1e-4
    assert all(np.isfinite(logits).all() for logits in second.values())


class Failing:
    """An engine that ends with an error once it is told to."""

    def __init__(self, engine):
        self._engine, self.broken, self.executions = engine, False, 0

    def run(self, inputs, outputs):
        if self.broken:
            raise EngineError("out of memory")
        self._engine.run(inputs, outputs)


def test_an_error_of_one_stream_is_told_when_no_other_plans_any_more(streams, tiny, monkeypatch):
    """Else the next call would enter a planner in which the last one still works."""
    failed, ended = threading.Event(), []

    def broken(*args, **options):
        failed.set()
        raise EngineError("out of memory")

    def slow(*args, **options):
        assert failed.wait(LONG_S)
        time.sleep(0.1)  # far longer than a caller takes to ask again
        ended.append("the other stream")

    monkeypatch.setattr(streams.planners[0], "plan", broken)
    monkeypatch.setattr(streams.planners[2], "plan", slow)
    with pytest.raises(EngineError, match="out of memory"):
        streams.plan_all({stream: request(tiny, stream) for stream in (0, 2)})
    assert ended == ["the other stream"]


def test_an_engine_that_fails_fails_for_every_stream_of_the_run(bundle):
    engine = Failing(OnnxEngine(bundle.path / bundle.manifest.language_graph))
    batch, made = models(bundle, engine, 3)
    engine.broken = True

    found = step_all(batch, made, np.zeros((3, 1, bundle.manifest.model.text.hidden_size), np.float32))

    assert [str(found[stream]) for stream in range(3)] == ["out of memory"] * 3


def test_no_streams_are_refused(bundle):
    with pytest.raises(ValueError, match="at least one"):
        Streams(bundle, 0)
