"""Kernels 1 to 4 for callers: statistics of logits, trajectories, dispersion, footprints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.kernels.layouts import (
    MAX_SAMPLES,
    MAX_TOKENS,
    STATISTICS,
    ComposeArguments,
    DispersionArguments,
    FootprintArguments,
    KernelForm,
    StatisticsArguments,
)
from onboard_vla.kernels.reference_actions import GROUPED_MASS, LINK_M, NEAR_M


@dataclass(frozen=True)
class Sampling:
    """How a token is chosen and what counts as the same motion.

    `temperature` 0: greedy. The seed and the step make a draw reproducible. `near_m`, `link_m`, `grouped_mass`: as
    `NEAR_M`, `LINK_M` and `GROUPED_MASS` of `reference_actions`; `grouped_mass` 0: no groups are sought, there is one.
    """

    temperature: float = 0.0
    calibration_temperature: float = 1.0
    repetition_penalty: float = 1.0
    near_m: float = NEAR_M
    link_m: float = LINK_M
    grouped_mass: float = GROUPED_MASS
    seed: int = 0
    step: int = 0


class StatisticsCall:
    """Kernel 1 on the same memory again and again: what the arrays hold when it is called is what counts.

    `chosen`: the caller's actions to be scored, written anew before a call; `out`: (rows,) `STATISTICS`, the newest
    call's.

    Args:
        form: what runs it, see `forms.py`.
        logits: (rows, vocabulary) raw fp16 or fp32 logits; rows may begin at any element address, the elements of a row
            must follow each other.
        first_action: column of action 0.
        ends: (actions, 2) end points in metres; float32 in Fortran's order is not copied.
        sampling: how to choose; greedy if not given.
        allowed: (actions,) which may be chosen; all if not given.
        seen: (rows, actions) which the repetition penalty holds for.
        chosen: (rows,) actions that were decoded, to be scored instead of chosen; one that is no allowed action is
            flagged `NO_ACTION`, and nothing else of its row is valid.

    Raises:
        ValueError: a shape, type or setting does not fit.
    """

    def __init__(
        self,
        form: KernelForm,
        logits: NDArray[np.floating[Any]],
        first_action: int,
        ends: NDArray[np.float32],
        sampling: Sampling | None = None,
        allowed: NDArray[np.bool_] | None = None,
        seen: NDArray[np.bool_] | None = None,
        chosen: NDArray[np.integer[Any]] | None = None,
    ) -> None:
        sampling = sampling or Sampling()
        rows, vocabulary = logits.shape
        actions = len(ends)
        _expect(logits.dtype in (np.float16, np.float32) and logits.strides[1] == logits.itemsize, "logits", logits)
        _expect(ends.shape == (actions, 2) and 0 <= first_action <= vocabulary - actions, "ends", ends)
        _expect(allowed is None or allowed.shape == (actions,), "allowed", allowed)
        _expect(seen is None or seen.shape == (rows, actions), "seen", seen)
        _expect(chosen is None or chosen.shape == (rows,), "chosen", chosen)
        if not (sampling.temperature >= 0 and sampling.calibration_temperature > 0 and sampling.repetition_penalty > 0):
            raise ValueError(f"sampling {sampling}: expected temperature >= 0, the other factors > 0")
        points = np.ascontiguousarray(ends.T, np.float32)
        self.chosen = None if chosen is None else np.ascontiguousarray(chosen, np.int32)
        masks = [None if mask is None else np.ascontiguousarray(mask, np.uint8) for mask in (allowed, seen)]
        seed, step = np.array([sampling.seed], np.uint64), np.array([sampling.step], np.uint32)
        self.out = np.empty(rows, STATISTICS)
        self._form, self._rows = form, rows
        self._kept_alive = logits, points, masks, seed, step
        self._arguments = StatisticsArguments(
            logits=logits.ctypes.data,
            allowed=None if masks[0] is None else masks[0].ctypes.data,
            seen=None if masks[1] is None else masks[1].ctypes.data,
            chosen=None if self.chosen is None else self.chosen.ctypes.data,
            ends=points.ctypes.data,
            seed=seed.ctypes.data,
            step=step.ctypes.data,
            out=self.out.ctypes.data,
            row_stride=logits.strides[0] // logits.itemsize,
            rows=rows,
            vocabulary=vocabulary,
            first_action=first_action,
            actions=actions,
            is_half=int(logits.dtype == np.float16),
            temperature=sampling.temperature,
            calibration_temperature=sampling.calibration_temperature,
            repetition_penalty=sampling.repetition_penalty,
            near_m=sampling.near_m,
            link_m=sampling.link_m,
            grouped_mass=sampling.grouped_mass,
        )

    def __call__(self, *, reverse: bool = False) -> NDArray[Any]:
        """`out`; `reverse`: see `KernelForm.run`."""
        self._form.run("action_statistics", self._arguments, self._rows, reverse=reverse)
        return self.out


def action_statistics(
    form: KernelForm,
    logits: NDArray[np.floating[Any]],
    first_action: int,
    ends: NDArray[np.float32],
    sampling: Sampling | None = None,
    allowed: NDArray[np.bool_] | None = None,
    seen: NDArray[np.bool_] | None = None,
    chosen: NDArray[np.integer[Any]] | None = None,
    *,
    reverse: bool = False,
) -> NDArray[Any]:
    """Statistics (rows,) of logits, once; see `StatisticsCall`."""
    return StatisticsCall(form, logits, first_action, ends, sampling, allowed, seen, chosen)(reverse=reverse)


def codebook_table(fine_deltas: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """(actions, sub-steps, 5) x, y, heading, cos, sin from (actions, sub-steps, 3), computed in float64."""
    deltas = np.asarray(fine_deltas, np.float64)
    directions = np.stack([np.cos(deltas[..., 2]), np.sin(deltas[..., 2])], axis=-1)
    return np.ascontiguousarray(np.concatenate([deltas, directions], axis=-1), np.float32)


@dataclass(frozen=True, eq=False)
class Trajectories:
    """`poses` (samples, tokens, 3), `fine` (samples, tokens * sub-steps, 5), `invalid` (samples,) bool."""

    poses: NDArray[np.float32]
    fine: NDArray[np.float32]
    invalid: NDArray[np.bool_]


class TrajectoryCall:
    """Kernel 2 on the same memory again and again: what `tokens` holds when it is called is what counts.

    `tokens`: (samples, count) int32 action indices, written anew before a call; `poses`, `fine`: the newest call's, as
    in `Trajectories`; `invalid`: (samples,) not 0 where an index lies outside the codebook.

    Args:
        form: what runs it, see `forms.py`.
        codebook: see `codebook_table`.
        samples: trajectories of one call.
        count: tokens of each.

    Raises:
        ValueError: a shape or type does not fit.
    """

    def __init__(self, form: KernelForm, codebook: NDArray[np.float32], samples: int, count: int) -> None:
        _expect(codebook.ndim == 3 and codebook.shape[2] == 5, "table", codebook)
        _expect(codebook.dtype == np.float32 and codebook.flags.c_contiguous, "table", codebook)
        actions, sub_steps, _ = codebook.shape
        self.tokens = np.zeros((samples, count), np.int32)
        _expect(1 <= count <= MAX_TOKENS, f"tokens (at most {MAX_TOKENS})", self.tokens)
        self.poses = np.empty((samples, count, 3), np.float32)
        self.fine = np.empty((samples, count * sub_steps, 5), np.float32)
        self.invalid = np.empty(samples, np.int32)
        self._form, self._codebook = form, codebook
        self._arguments = ComposeArguments(
            *(array.ctypes.data for array in (self.tokens, codebook, self.poses, self.fine, self.invalid)),
            samples,
            count,
            sub_steps,
            actions,
        )

    def __call__(self, *, reverse: bool = False) -> None:
        """Write `poses`, `fine` and `invalid`; `reverse`: see `KernelForm.run`."""
        self._form.run("compose", self._arguments, len(self.tokens), reverse=reverse)


def compose(
    form: KernelForm, tokens: NDArray[np.int32], codebook: NDArray[np.float32], *, reverse: bool = False
) -> Trajectories:
    """Trajectories of (samples, tokens) action indices, once; a sample with an index outside the codebook is invalid.

    Raises:
        ValueError: a shape or type does not fit.
    """
    call = TrajectoryCall(form, codebook, *tokens.shape)
    call.tokens[:] = tokens
    call(reverse=reverse)
    return Trajectories(call.poses, call.fine, call.invalid != 0)


@dataclass(frozen=True)
class MotionLimits:
    """Limits on finite differences of poses `step_s` apart, from `speed_now_mps` on."""

    step_s: float
    speed_now_mps: float
    speed_max_mps: float
    acceleration_max_mps2: float
    deceleration_max_mps2: float
    jerk_max_mps3: float
    yaw_rate_max_rps: float
    lateral_max_mps2: float
    reverse_max_m: float


@dataclass(frozen=True, eq=False)
class Spread:
    """How K trajectories lie apart; see `DispersionArguments` in `src/dispersion.h`."""

    mean: NDArray[np.float32]
    covariance: NDArray[np.float32]
    pairwise: NDArray[np.float32]
    mean_distance: NDArray[np.float32]
    flags: NDArray[np.uint32]
    medoid: int


def dispersion(form: KernelForm, poses: NDArray[np.float32], limits: MotionLimits, *, reverse: bool = False) -> Spread:
    """Mean, covariance, pairwise distances, medoid and limit flags of (samples, steps, 3) poses.

    Raises:
        ValueError: a shape does not fit.
    """
    samples, steps, _ = poses.shape
    _expect(1 <= samples <= MAX_SAMPLES, f"samples (at most {MAX_SAMPLES})", poses)
    given = np.ascontiguousarray(poses, np.float32)
    mean, covariance = np.empty((steps, 2), np.float32), np.empty((steps, 3), np.float32)
    pairwise, distance = np.empty((samples, samples), np.float32), np.empty(samples, np.float32)
    flags, medoid = np.empty(samples, np.uint32), np.empty(1, np.int32)
    arrays = (given, mean, covariance, pairwise, distance, flags, medoid)
    numbers = [getattr(limits, name) for name in limits.__dataclass_fields__]
    arguments = DispersionArguments(*(array.ctypes.data for array in arrays), samples, steps, *numbers)
    form.run("dispersion", arguments, 1, reverse=reverse)
    return Spread(mean, covariance, pairwise, distance, flags, int(medoid[0]))


@dataclass(frozen=True)
class Rectangle:
    """The vehicle: half sizes of its box, its centre ahead of the rear axle, and a margin on every side; metres."""

    half_length_m: float
    half_width_m: float
    centre_ahead_m: float
    margin_m: float


def first_contacts(
    form: KernelForm,
    fine: NDArray[np.float32],
    boxes: NDArray[np.float32],
    vehicle: Rectangle,
    step_s: float,
    *,
    reverse: bool = False,
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """First overlapping pose (steps: none, -1: not finite) and the box it overlaps, for each candidate.

    `fine`: (candidates, steps, 5). `boxes`: (boxes, 8) x, y, cos, sin, half length, half width, velocity x and y.

    Raises:
        ValueError: a shape does not fit.
    """
    candidates, steps, _ = fine.shape
    _expect(fine.shape[2] == 5, "fine poses", fine)
    _expect(boxes.ndim == 2 and boxes.shape[1] == 8, "boxes", boxes)
    poses, others = np.ascontiguousarray(fine, np.float32), np.ascontiguousarray(boxes, np.float32)
    contact, box = np.empty(candidates, np.int32), np.empty(candidates, np.int32)
    arguments = FootprintArguments(
        *(array.ctypes.data for array in (poses, others, contact, box)),
        candidates,
        steps,
        len(others),
        vehicle.half_length_m,
        vehicle.half_width_m,
        vehicle.centre_ahead_m,
        vehicle.margin_m,
        step_s,
    )
    form.run("footprint", arguments, candidates, reverse=reverse)
    return contact, box


def _expect(holds: bool, what: str, found: NDArray[Any] | None) -> None:
    if not holds:
        raise ValueError(f"{what}: unexpected {None if found is None else (found.shape, str(found.dtype))}")
