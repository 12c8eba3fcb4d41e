"""Kernel 1 in NumPy: statistics of rows of logits and reproducible draws, in float64, all rows at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.kernels.layouts import NO_ACTION, NONE_ALLOWED, NOT_FINITE, STATISTICS, TOP, StatisticsArguments
from onboard_vla.kernels.reference_actions import second_group

CHUNK = 1 << 22
"""Logits taken at once."""
FIGURES = tuple(name for name in STATISTICS.names or () if STATISTICS[name].base == np.float32)


def row_statistics(
    logits: NDArray[np.floating[Any]],
    ends: NDArray[np.float32],
    allowed: NDArray[np.bool_] | None,
    seen: NDArray[np.bool_] | None,
    chosen: NDArray[np.int32] | None,
    settings: StatisticsArguments,
    key: tuple[int, int],
    out: NDArray[Any],
) -> None:
    """Statistics of (rows, vocabulary) logits into `out` (rows,), fields as in `src/action_statistics.h`.

    Args:
        logits: raw logits.
        ends: (actions, 2) end points in metres.
        allowed: (actions,) which may be chosen; all if None.
        seen: (rows, actions) which the repetition penalty holds for; none if None.
        chosen: (rows,) actions to score; the rows choose themselves if None.
        settings: the launch's numbers; its pointers are not looked at.
        key: seed and step of draws.
        out: where the results go.
    """
    may = np.ones(len(ends), np.bool_) if allowed is None else allowed
    size = max(1, CHUNK // max(logits.shape[1], 1))
    for begin in range(0, len(logits), size):
        rows = slice(begin, begin + size)
        held, given = (None if array is None else array[rows] for array in (seen, chosen))
        _chunk(logits[rows], ends, may, (held, given), settings, (*key, begin), out[rows])


def _chunk(
    logits: NDArray[np.floating[Any]],
    ends: NDArray[np.float32],
    may: NDArray[np.bool_],
    per_row: tuple[NDArray[Any] | None, NDArray[Any] | None],
    a: StatisticsArguments,
    key: tuple[int, int, int],
    out: NDArray[Any],
) -> None:
    seen, chosen = per_row
    actions = slice(a.first_action, a.first_action + a.actions)
    finite = np.isfinite(logits).all(axis=1)
    none_allowed = (np.isnan(logits[:, actions]) | ~may).all(axis=1)
    out["flags"] = np.where(finite, 0, NOT_FINITE) | np.where(none_allowed, NONE_ALLOWED, 0)
    if chosen is not None:
        action = (chosen >= 0) & (chosen < a.actions)
        out["flags"] |= np.where(action & may[np.where(action, chosen, 0)], 0, NO_ACTION).astype(np.uint32)
    for name in ("best", "choice", "top"):
        out[name] = -1
    for name in FIGURES:
        out[name] = np.nan
    good = np.flatnonzero(out["flags"] == 0)
    if not len(good):
        return
    raw = logits[good].astype(np.float32)
    values = raw.astype(np.float64)
    deciding = _penalised(raw[:, actions], None if seen is None else seen[good], a.repetition_penalty)
    deciding = np.where(may, deciding, -np.inf)
    order = np.argsort(-deciding, axis=1, kind="stable")[:, :TOP]
    rank, there = np.arange(order.shape[1]), np.arange(order.shape[1]) < may.sum()
    top = np.take_along_axis(deciding, order, axis=1)
    best = order[:, 0]
    choice = best
    if a.temperature > 0.0:
        heat = np.float64(np.float32(1.0) / np.float32(a.temperature))
        variates = gumbel(key[0], key[1], good + key[2], a.actions)
        choice = np.argmax(np.where(may, deciding * heat + variates, -np.inf), axis=1)
    if chosen is not None:
        choice = chosen[good]
    result = np.zeros(len(good), out.dtype)
    result["best"], result["choice"] = best, choice
    result["top"], result["top_logit"] = -1, np.nan
    result["top"][:, rank[there]], result["top_logit"][:, rank[there]] = order[:, there], top[:, there]
    result["margin"] = top[:, 0] - top[:, 1] if there[1:2].any() else np.inf
    _distribution(values, values[:, actions], may, ends.astype(np.float64), (best, choice), a, result)
    out[good] = result


def _distribution(
    values: NDArray[np.float64],
    actions: NDArray[np.float64],
    may: NDArray[np.bool_],
    ends: NDArray[np.float64],
    picks: tuple[NDArray[np.int64], NDArray[np.int64]],
    a: StatisticsArguments,
    result: NDArray[Any],
) -> None:
    """What raw logits say; `picks`: the best and the chosen action of each row."""
    rows, (best, choice) = np.arange(len(values)), picks
    masked = np.where(may, actions, -np.inf) / a.calibration_temperature
    peak = masked.max(axis=1)
    below = masked - peak[:, None]
    weights = np.exp(below)
    mass = weights.sum(axis=1)
    p = weights / mass[:, None]
    log_mass = np.log(mass)
    result["log_sum_exp"] = peak + log_mass
    result["entropy"] = np.maximum(log_mass - (p * np.where(may, below, 0.0)).sum(axis=1), 0.0)
    result["best_probability"] = p[rows, best]
    result["choice_log_probability"] = below[rows, choice] - log_mass
    offsets = ends[None] - ends[np.argmax(masked, axis=1)][:, None]
    means = np.einsum("ra,rac->rc", p, offsets)
    squares = np.einsum("ra,rac->r", p, offsets**2)
    result["spread_m"] = np.sqrt(np.maximum(squares - (means**2).sum(axis=1), 0.0))
    near = ((ends[None] - ends[choice][:, None]) ** 2).sum(axis=2) <= a.near_m**2
    result["near_mass"] = np.minimum((p * near).sum(axis=1), 1.0)
    if a.grouped_mass > 0.0:
        groups = [second_group(row, ends, a.link_m, a.grouped_mass) for row in p]
        result["second_mass"], result["second_distance_m"] = np.transpose(groups)
    shares = np.exp((values - values.max(axis=1)[:, None]) / a.calibration_temperature)
    first = a.first_action
    inside = (shares[:, first : first + a.actions] * may).sum(axis=1)
    # Summed apart: a difference from 1 would lose a small mass.
    outside = shares[:, :first].sum(axis=1) + shares[:, first + a.actions :].sum(axis=1)
    outside += (shares[:, first : first + a.actions] * ~may).sum(axis=1)
    result["outside_mass"] = outside / (outside + inside)


def _penalised(raw: NDArray[np.float32], seen: NDArray[np.bool_] | None, penalty: float) -> NDArray[np.float64]:
    """As transformers penalises repetition (Keskar et al., CTRL, 2019), in float32 like it."""
    if seen is None:
        return raw.astype(np.float64)
    factor = np.float32(penalty)
    return np.where(seen, np.where(raw < 0, raw * factor, raw / factor), raw).astype(np.float64)


def gumbel(seed: int, step: int, rows: NDArray[np.int64], actions: int) -> NDArray[np.float64]:
    """(rows, actions) standard Gumbel variates, from the same random words as `src/exact_math.h`."""
    groups = -(-actions // 4)
    words = philox(np.arange(groups, dtype=np.uint64)[None], rows.astype(np.uint64)[:, None], step, seed)
    flat = np.stack(words, axis=-1).reshape(len(rows), groups * 4)[:, :actions]
    uniform = ((flat >> np.uint64(9)).astype(np.float64) + 0.5) * 2.0**-23
    variates: NDArray[np.float64] = -np.log(-np.log(uniform))
    return variates


def philox(c0: NDArray[np.uint64], c1: NDArray[np.uint64], c2: int, seed: int) -> list[NDArray[np.uint64]]:
    """Philox4x32-10 (Salmon et al., SC 2011) of counters (c0, c1, c2, 0); 32-bit words in 64-bit integers."""
    mask, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    shape = np.broadcast_shapes(c0.shape, c1.shape)
    words = [np.broadcast_to(c0, shape), np.broadcast_to(c1, shape)]
    words += [np.full(shape, c2, np.uint64), np.zeros(shape, np.uint64)]
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        first, second = words[0] * np.uint64(0xD2511F53), words[2] * np.uint64(0xCD9E8D57)
        words = [
            (second >> shift) ^ words[1] ^ np.uint64(k0),
            second & mask,
            (first >> shift) ^ words[3] ^ np.uint64(k1),
            first & mask,
        ]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return words
