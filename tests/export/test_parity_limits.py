"""A bundle that is too far from the float32 model is refused at export, and leaves nothing behind."""

from __future__ import annotations

import dataclasses
import math
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from onboard_vla.app import cli
from onboard_vla.core.bundle_manifest import load_manifest
from onboard_vla.core.codebook import Codebook
from onboard_vla.core.errors import BundleError
from onboard_vla.export import linear_layers
from onboard_vla.export.action_logits import ActionLogits
from onboard_vla.export.activation_ranges import RANGES_FILE
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.export.golden import GoldenScene
from onboard_vla.export.parity_limits import PARITY_LIMITS, misses, require_parity, tightened
from onboard_vla.export.scenes import Scene
from onboard_vla.export.verify import Figures, compare

EXACT = Figures(**dict.fromkeys((field.name for field in dataclasses.fields(Figures)), 0))


FIRST_ID, FAST, SLOW = 100, 7, 8
"""First of three action tokens, and the fork's two."""


def sizes(penalty=1.0):
    """What a model without a prompt of its own would say of itself."""
    return SimpleNamespace(
        actions=SimpleNamespace(first_id=FIRST_ID, count=3),
        answer=SimpleNamespace(fast_prefix=(5, FAST, 6), fork_index=1, fast_fork=FAST, slow_fork=SLOW),
        generation=SimpleNamespace(repetition_penalty=penalty),
    )


class Recorded:
    """Stands in for a runner: gives the same logits whatever it is shown."""

    def __init__(self, found, penalty):
        self.found, self.sizes = found, sizes(penalty)

    def each_way(self, scene, tokens):
        return self.found, self.found, dataclasses.replace(self.found, tokens=self.found.actions.argmax(axis=1))


def logits(rows, fork):
    actions = np.array(rows, np.float32)
    return ActionLogits(np.array(fork, np.float32), actions, actions.argmax(axis=1), np.ones(len(rows), bool))


@pytest.fixture(scope="module")
def codebook(reference_checkpoint):
    """The first three tokens of the reference codebook."""
    whole = Codebook.load(reference_checkpoint / "codebook.npz")
    return dataclasses.replace(whole, contours=whole.contours[:3])


def figures_of(reference, found, codebook, penalty=1.0, prompt=(1, 2)):
    scene = Scene({}, np.array(prompt), None)
    return compare(Recorded(found, penalty), [GoldenScene(scene, reference)], codebook, lambda _: None)


def test_margins_and_agreement_are_those_of_what_decoding_compares(codebook):
    """Token 0 was said, so a penalty of 2 halves its logit: it leads by 1 nat in the model, and loses by 0.5."""
    reference = dataclasses.replace(logits([[3, 0, 0], [3, 2, 0]], [1, 0]), tokens=np.array([0, 1]))
    figures = figures_of(reference, reference, codebook, penalty=2.0)
    assert figures.reference_margin_median == pytest.approx((3 + 0.5) / 2)
    found = dataclasses.replace(reference, actions=np.array([[3, 0, 0], [4.2, 2, 0]], np.float32))
    figures = figures_of(reference, found, codebook, penalty=2.0)
    assert figures.token_agreement == 0.5
    assert figures.preference_loss_max == pytest.approx(0.5)
    assert figures_of(reference, found, codebook).token_agreement == 1, "without the penalty both prefer token 0"


def test_the_fork_decides_after_the_penalty_on_words_that_the_prompt_says(codebook):
    reference, found = logits([[3, 2, 0]], [1.5, 1]), logits([[3, 2, 0]], [2.5, 1])
    assert figures_of(reference, found, codebook, penalty=2.0).fork_changes == 0, "the prompt says neither word"
    figures = figures_of(reference, found, codebook, penalty=2.0, prompt=(1, FAST))
    assert figures.fork_changes == 1
    assert figures.fork_loss_max == pytest.approx(0.25)


def test_preference_loss_is_what_the_reference_gives_up_where_the_actions_differ(codebook):
    reference = logits([[3, 2.5, 0], [0, 1, 4]], [1, 0])
    found = logits([[3, 3.5, 0], [0, 1, 2]], [1, 0])
    figures = figures_of(reference, found, codebook)
    assert figures.preference_loss_max == pytest.approx(0.5)
    assert figures.token_agreement == 0.5


def test_fork_loss_counts_only_where_the_decision_differs(codebook):
    same = [[3, 2, 0]]
    assert figures_of(logits(same, [0.4, 0]), logits(same, [9, 0]), codebook).fork_loss_max == 0
    assert figures_of(logits(same, [0.4, 0]), logits(same, [0, 9]), codebook).fork_loss_max == pytest.approx(0.4)


def test_motion_shift_is_the_distance_of_the_expected_ends(codebook):
    reference, found = logits([[0, 0, -99]], [1, 0]), logits([[math.log(3), 0, -99]], [1, 0])
    ends = codebook.deltas[:, :2]
    expected = np.linalg.norm((ends[0] * 0.75 + ends[1] * 0.25) - (ends[0] + ends[1]) / 2)
    assert figures_of(reference, found, codebook).motion_shift_mean_m == pytest.approx(expected, rel=1e-5)


def test_logits_that_are_no_numbers_miss_the_limits(codebook):
    reference = logits([[3, 2, 0]], [1, 0])
    found = dataclasses.replace(reference, actions=np.full((1, 3), np.nan, np.float32))
    assert misses(figures_of(reference, found, codebook))


def test_the_margin_where_plans_part_is_the_references_at_the_first_other_token(codebook):
    reference = logits([[3, 2, 0], [0, 4, 3.7], [9, 0, 5]], [1, 0])
    found = logits([[3, 2, 0], [0, 3, 3.7], [9, 0, 10]], [1, 0])
    figures = figures_of(reference, found, codebook)
    assert figures.parted_share == 1
    assert figures.parted_margin_median == figures.parted_margin_max == pytest.approx(0.3)
    assert figures.ade_p99_margin == pytest.approx(0.3)
    same = figures_of(reference, reference, codebook)
    assert (same.parted_share, same.parted_margin_max, same.ade_p99_margin) == (0, 0, 0)


def test_shifts_of_doubt_are_those_of_what_the_supervisor_reads(codebook):
    reference = logits([[9, 0, 0], [2, 2, 2]], [0, 0])
    found = dataclasses.replace(reference, actions=reference.actions[::-1].copy(), fork=np.array([0, 2], np.float32))
    figures = figures_of(reference, found, codebook)
    assert figures.spread_shift_p99_m == pytest.approx(0, abs=1e-6), "the worst step is as wide as before"
    assert figures.slow_probability_shift_p99 == pytest.approx(1 / (1 + math.exp(-2)) - 0.5)
    wider = dataclasses.replace(reference, actions=np.array([[9, 0, 0], [9, 0, 0]], np.float32))
    figures = figures_of(reference, wider, codebook)
    assert figures.spread_shift_p99_m > 0.01
    assert figures.likelihood_shift_p99_nats == pytest.approx(math.log(3) / 2, abs=1e-3)


def test_a_bundle_may_tighten_limits_and_not_loosen_them():
    bounds = {"ade_mean_m": 0.02, "ade_p95_m": 99.0, "unknown": 0.0}
    found = {limit.figure: limit.bound for limit in tightened(PARITY_LIMITS, bounds)}
    assert found == {limit.figure: limit.bound for limit in PARITY_LIMITS} | {"ade_mean_m": 0.02}
    with pytest.raises(BundleError, match="ade_mean_m must be a number, found 'low'"):
        tightened(PARITY_LIMITS, {"ade_mean_m": "low"})


def test_an_export_may_be_given_tighter_limits_that_go_with_the_bundle(reference_checkpoint, tmp_path, capsys):
    out = tmp_path / "bundle"
    words = ["export", str(reference_checkpoint), "--precision", "fp32", "--out", str(out)]
    assert (
        cli.run([*words, "--limit", "ade_p95_m=0.5", "--limit", "ade_mean_m=0.01", "--limit", "ade_median_m=0.02"]) == 0
    )
    limits = load_manifest(out).parity["limits"]
    assert (limits["ade_p95_m"], limits["ade_mean_m"]) == (0.5, 0.01)
    assert limits["motion_shift_mean_m"] == 0.01, "the project's"
    assert load_manifest(out).parity["plan_limits"] == {"fork_changes": 0.01, "ade_median_m": 0.02}
    capsys.readouterr()
    for wrong, message in (
        ("ade_p95_m=0.9", "0.9 is not from 0 to the project's 0.76"),
        ("fork_changes=0.5", "0.5 is not from 0 to the project's 0.01"),
        ("ade_p95_m=nan", "nan is not from 0"),
        ("speed=1", "limit 'speed': expected one of preference_loss_max"),
    ):
        assert cli.run([*words, "--limit", wrong]) == 64
        assert message in capsys.readouterr().err
    assert cli.run([*words, "--limit", "ade_p95_m"]) == 64
    assert "expected FIGURE=BOUND" in capsys.readouterr().err


def test_an_export_beyond_its_own_limit_is_refused(reference_checkpoint, tmp_path):
    with pytest.raises(BundleError, match=r"preference_loss_max is .* at most 1e-06 nats is allowed"):
        export_bundle(reference_checkpoint, tmp_path / "b", fallbacks=(), limits={"preference_loss_max": 1e-6})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("limit", PARITY_LIMITS, ids=lambda limit: limit.figure)
def test_each_limit_passes_at_its_bound_and_refuses_above_it_or_without_a_number(limit):
    assert misses(dataclasses.replace(EXACT, **{limit.figure: limit.bound})) == []
    for value in (math.nextafter(limit.bound, math.inf), math.nan):
        with pytest.raises(BundleError, match=limit.figure):
            require_parity(dataclasses.replace(EXACT, **{limit.figure: value}), "it")


@pytest.mark.parametrize("bad", ["four bits", "ranges of random pictures"])
def test_bad_quantisation_is_refused_in_one_line_and_nothing_is_left(reference_checkpoint, tmp_path, monkeypatch, bad):
    checkpoint = shutil.copytree(reference_checkpoint, tmp_path / "checkpoint")
    if bad == "four bits":
        monkeypatch.setattr(linear_layers, "INT8_LIMIT", 7)
    else:
        (checkpoint / RANGES_FILE).unlink()
    with pytest.raises(BundleError) as caught:
        export_bundle(checkpoint, tmp_path / "out" / "bundle", fallbacks=(), unjudged=True)
    message = str(caught.value)
    assert "ade_mean_m is " in message
    assert "at most 0.1 m is allowed" in message
    assert "calibrate on scenes of the deployment" in message
    assert "\n" not in message
    assert list((tmp_path / "out").iterdir()) == []


def test_older_bundle_stays_when_the_new_one_is_refused(reference_checkpoint, fp32_bundle, tmp_path, monkeypatch):
    kept = shutil.copytree(fp32_bundle, tmp_path / "bundle")
    before = (kept / "manifest.json").read_bytes()
    monkeypatch.setattr(linear_layers, "INT8_LIMIT", 7)
    with pytest.raises(BundleError, match="too far from the float32 model"):
        export_bundle(reference_checkpoint, kept, fallbacks=())
    assert (kept / "manifest.json").read_bytes() == before
