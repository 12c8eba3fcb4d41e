"""Holds a bundle's graphs against the float32 references in its golden scenes; every figure comes with its n."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.codebook import Codebook
from onboard_vla.export.action_logits import ActionLogits
from onboard_vla.export.deciding import deciding
from onboard_vla.export.golden import GoldenScene
from onboard_vla.export.scene_runner import SceneRunner, Sizes
from onboard_vla.kernels.reference_actions import action_statistics

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Figures:
    """Agreement between a bundle and its float32 references.

    What decides is what decoding compares: logits after the repetition penalty; best actions, margins, forks and
    preference are about those, cosines, differences and distributions about the model's own logits.
    Over `steps` action steps, each after the reference's own tokens: cosine between mean-centred action logits, share
    of steps with the same best action, largest difference of a logit, and the reference's median distance between its
    best two actions (agreement means little where that is small). `spread_m` is the root-mean-square distance of the
    action distribution from its mean in the reference, `spread_shift_m` its mean change.
    Over `scenes` scenes: share with the same fork decision, largest change of the fork's logit difference, and the
    average displacement between both greedy trajectories: median, mean, 95th and 99th percentile (order statistics) and
    worst. `fork_changes` is the share of scenes with another fork decision.
    Two figures are blind to near ties, where either choice is as good: `preference_loss_max`, by how many nats the
    reference prefers its own action to the bundle's (0 where they agree), worst step; `fork_loss_max`, the same for the
    fork, worst scene. `motion_shift_mean_m`: distance between the expected end points of one token's motion under both
    action distributions, mean over the steps.
    `outside_share`: share of reference steps at which a token that is no action had the largest logit.
    Where plans part: `parted_share` of the scenes have another token somewhere. The reference's margin between its best
    two actions at the first such step says whether that was a near tie: median and largest over those scenes, and
    `ade_p99_margin` for the plan at the 99th percentile (0 where none parted).
    Shift of what the supervisor reads, 99th percentile over the scenes of the change's magnitude:
    `spread_shift_p99_m` of the worst step's spread, `likelihood_shift_p99_nats` of the plan's mean log-likelihood,
    `slow_probability_shift_p99` of the fork; all along the reference's tokens.
    """

    scenes: int
    steps: int
    cosine_mean: float
    cosine_min: float
    token_agreement: float
    logit_difference_max: float
    reference_margin_median: float
    spread_m: float
    spread_shift_m: float
    fork_agreement: float
    fork_changes: float
    fork_shift_max: float
    ade_median_m: float
    ade_mean_m: float
    ade_p95_m: float
    ade_p99_m: float
    ade_max_m: float
    outside_share: float
    preference_loss_max: float
    fork_loss_max: float
    motion_shift_mean_m: float
    parted_share: float
    parted_margin_median: float
    parted_margin_max: float
    ade_p99_margin: float
    spread_shift_p99_m: float
    likelihood_shift_p99_nats: float
    slow_probability_shift_p99: float

    def as_table(self) -> dict[str, float | int]:
        """Names and values, for JSON and reports."""
        return dataclasses.asdict(self)


def compare(
    runner: SceneRunner, golden: Sequence[GoldenScene], codebook: Codebook, progress: Callable[[float], None]
) -> Figures:
    """Run all scenes one after the other and put the differences from their references in figures."""
    return _one_by_one(measure_scene, runner, golden, codebook, progress)


def compare_in_few_passes(
    runner: SceneRunner, golden: Sequence[GoldenScene], codebook: Codebook, progress: Callable[[float], None]
) -> Figures:
    """As `compare`, with passes over one token only from where plans part on: where a pass costs seconds."""

    def measure(runner: SceneRunner, item: GoldenScene, codebook: Codebook) -> Measured:
        found = runner.in_few_passes(item.scene, item.reference.tokens.tolist())
        return difference(item, *found, codebook, runner.sizes)

    return _one_by_one(measure, runner, golden, codebook, progress)


def measure_scene(runner: SceneRunner, item: GoldenScene, codebook: Codebook) -> Measured:
    """Run one scene, along the reference's tokens and along its own, and compare.

    The plan is decoded a token a pass, as the runtime does. Along the reference's tokens both ways in which the runtime
    comes to logits are taken, several tokens in a pass (guesses) and a token a pass; what errs more is compared.
    """
    *ways, decoded = runner.each_way(item.scene, item.reference.tokens.tolist())

    def error(way: ActionLogits) -> float:
        return float(np.nan_to_num(np.abs(way.actions - item.reference.actions).max(), nan=np.inf))

    return difference(item, max(ways, key=error), decoded, codebook, runner.sizes)


def _one_by_one(
    measure: Callable[[SceneRunner, GoldenScene, Codebook], Measured],
    runner: SceneRunner,
    golden: Sequence[GoldenScene],
    codebook: Codebook,
    progress: Callable[[float], None],
) -> Figures:
    measured = []
    for done, item in enumerate(golden, start=1):
        measured.append(measure(runner, item, codebook))
        progress(done / len(golden))
    return figures_of(measured)


def compare_together(runner: SceneRunner, golden: Sequence[GoldenScene], codebook: Codebook) -> Figures:
    """As `compare`, all scenes at once: for graphs that are run in pieces."""
    scenes = [item.scene for item in golden]
    forced = runner.teacher_forced_many(scenes, [item.reference.tokens.tolist() for item in golden])
    decoded = runner.greedy_many(scenes)
    return figures_of(
        [difference(*parts, codebook, runner.sizes) for parts in zip(golden, forced, decoded, strict=True)]
    )


def figures_of(measured: Sequence[Measured]) -> Figures:
    """Figures over all scenes."""
    steps = {name: np.concatenate([getattr(m, name) for m in measured]) for name in Measured.STEPS}
    scenes = {name: np.array([getattr(m, name) for m in measured]) for name in Measured.SCENES}
    margins = scenes["parted_margin"][scenes["parted"]] if scenes["parted"].any() else np.zeros(1)
    ade_p99_m = _quantile(scenes["ade_m"], 0.99)
    return Figures(
        scenes=len(measured),
        steps=len(steps["cosine"]),
        cosine_mean=float(steps["cosine"].mean()),
        cosine_min=float(steps["cosine"].min()),
        token_agreement=float(steps["same"].mean()),
        logit_difference_max=float(steps["difference"].max()),
        reference_margin_median=float(np.median(steps["margin"])),
        spread_m=float(steps["spread_m"].mean()),
        spread_shift_m=float(steps["spread_shift_m"].mean()),
        fork_agreement=float(scenes["fork_same"].mean()),
        fork_changes=float(1 - scenes["fork_same"].mean()),
        fork_shift_max=float(scenes["fork_shift"].max()),
        ade_median_m=float(np.median(scenes["ade_m"])),
        ade_mean_m=float(scenes["ade_m"].mean()),
        ade_p95_m=_quantile(scenes["ade_m"], 0.95),
        ade_p99_m=ade_p99_m,
        ade_max_m=float(scenes["ade_m"].max()),
        outside_share=float(steps["outside"].mean()),
        preference_loss_max=float(steps["preference_loss"].max()),
        fork_loss_max=float(scenes["fork_loss"].max()),
        motion_shift_mean_m=float(steps["motion_shift_m"].mean()),
        parted_share=float(scenes["parted"].mean()),
        parted_margin_median=float(np.median(margins)),
        parted_margin_max=float(margins.max()),
        ade_p99_margin=float(scenes["parted_margin"][scenes["ade_m"] == ade_p99_m].max()) if ade_p99_m > 0 else 0.0,
        spread_shift_p99_m=_quantile(scenes["worst_spread_shift_m"], 0.99),
        likelihood_shift_p99_nats=_quantile(scenes["likelihood_shift"], 0.99),
        slow_probability_shift_p99=_quantile(scenes["slow_shift"], 0.99),
    )


def _quantile(values: NDArray[np.float64], share: float) -> float:
    """An order statistic: a value that was measured; NaN if any is."""
    return float(np.quantile(values, share, method="inverted_cdf")) if np.isfinite(values).all() else float("nan")


@dataclass(frozen=True, eq=False)
class Measured:
    """One scene: arrays (T,) over its steps, single values, and both greedy trajectories (T, 2) in metres."""

    STEPS = (
        "cosine",
        "same",
        "difference",
        "margin",
        "spread_m",
        "spread_shift_m",
        "outside",
        "preference_loss",
        "motion_shift_m",
    )
    SCENES = (
        "fork_same",
        "fork_shift",
        "ade_m",
        "fork_loss",
        "parted",
        "parted_margin",
        "worst_spread_shift_m",
        "likelihood_shift",
        "slow_shift",
    )

    cosine: NDArray[np.float64]
    same: NDArray[np.bool_]
    difference: Floats
    margin: Floats
    spread_m: NDArray[np.float64]
    spread_shift_m: NDArray[np.float64]
    outside: NDArray[np.bool_]
    preference_loss: Floats
    motion_shift_m: NDArray[np.float64]
    fork_same: bool
    fork_shift: float
    ade_m: float
    fork_loss: float
    parted: bool
    parted_margin: float
    worst_spread_shift_m: float
    likelihood_shift: float
    slow_shift: float
    found_xy: NDArray[np.float64]
    reference_xy: NDArray[np.float64]


def difference(
    golden: GoldenScene, found: ActionLogits, decoded: ActionLogits, codebook: Codebook, sizes: Sizes
) -> Measured:
    """One scene: `found` along the reference's tokens, `decoded` along its own."""
    reference, ends = golden.reference, np.ascontiguousarray(codebook.deltas[:, :2])
    # What decoding compares, the reference's and what was found after the reference's own tokens.
    decides = deciding(sizes, golden.scene.prompt_ids, reference)
    decides_here = deciding(sizes, golden.scene.prompt_ids, dataclasses.replace(found, tokens=reference.tokens))
    best = np.sort(decides.actions, axis=1)
    chosen = np.take_along_axis(decides.actions, decides_here.actions.argmax(axis=1)[:, None], axis=1)[:, 0]
    spread, spread_found = (_spread(logits, reference.tokens, ends) for logits in (reference.actions, found.actions))
    found_xy, reference_xy = (
        codebook.decode(t)[0][:, :2].astype(np.float64) for t in (decoded.tokens, reference.tokens)
    )
    fork, fork_found = (float(one.fork[0] - one.fork[1]) for one in (decides, decides_here))
    margin = best[:, -1] - best[:, -2]
    apart = decoded.tokens != reference.tokens
    likelihood = [_likelihood(logits, reference.tokens) for logits in (reference.actions, found.actions)]
    return Measured(
        cosine=_cosines(found.actions, reference.actions),
        same=decides_here.actions.argmax(axis=1) == decides.actions.argmax(axis=1),
        difference=np.abs(found.actions - reference.actions).max(axis=1),
        margin=margin,
        spread_m=spread,
        spread_shift_m=spread_found - spread,
        outside=~reference.inside,
        preference_loss=best[:, -1] - chosen,
        motion_shift_m=np.linalg.norm((_softmax(found.actions) - _softmax(reference.actions)) @ ends, axis=1),
        fork_same=(fork > 0) == (fork_found > 0),
        fork_shift=abs(fork_found - fork),
        ade_m=float(np.linalg.norm(found_xy - reference_xy, axis=1).mean()),
        fork_loss=0.0 if (fork > 0) == (fork_found > 0) else abs(fork),
        parted=bool(apart.any()),
        parted_margin=float(margin[apart.argmax()]) if apart.any() else 0.0,
        worst_spread_shift_m=abs(float(spread_found.max() - spread.max())),
        likelihood_shift=abs(likelihood[1] - likelihood[0]),
        slow_shift=abs(_slow_probability(fork_found) - _slow_probability(fork)),
        found_xy=found_xy,
        reference_xy=reference_xy,
    )


def _cosines(found: Floats, reference: Floats) -> NDArray[np.float64]:
    """Cosine of each row, both centred: softmax does not see a common offset, and an offset must not flatter."""
    a = found.astype(np.float64) - found.mean(axis=1, keepdims=True)
    b = reference.astype(np.float64) - reference.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosines: NDArray[np.float64] = np.einsum("tk,tk->t", a, b) / np.maximum(norms, np.finfo(np.float64).tiny)
    return cosines


def _likelihood(logits: Floats, tokens: NDArray[np.int64]) -> float:
    """Mean log-probability of the tokens (T,) among the actions, nats."""
    rows = _softmax(logits)[np.arange(len(tokens)), tokens]
    return float(np.log(np.maximum(rows, np.finfo(np.float64).tiny)).mean())


def _slow_probability(fork: float) -> float:
    """Probability of slow thinking; `fork`: logit of fast minus logit of slow."""
    return float(0.5 * (1.0 - np.tanh(fork / 2.0)))


def _softmax(logits: Floats) -> NDArray[np.float64]:
    raised = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def _spread(logits: Floats, tokens: NDArray[np.int64], ends: NDArray[np.float64]) -> NDArray[np.float64]:
    steps = [action_statistics(row, 0, ends, token) for row, token in zip(logits, tokens.tolist(), strict=True)]
    return np.array([step.spread_m for step in steps], np.float32).astype(np.float64)
