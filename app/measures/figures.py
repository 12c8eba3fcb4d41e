"""What the rows amount to: each figure with its bounds over worlds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard_vla.app.evaluation.intervals import Estimate, auroc_estimate, mean, ratio
from onboard_vla.app.evaluation.summary import WORST_SHARE, rate
from onboard_vla.app.measures.collect import Planned, Row
from onboard_vla.app.measures.conditions import BLACK, BLIND, BLUR, HELD_OUT, NOISE, OWN, PHOTOS, SLOW, SWAPPED
from onboard_vla.app.measures.probes import Probe, probe_all, probe_signals
from onboard_vla.core.scene_record import SceneRecord
from onboard_vla.runtime.scene_text import read_scene

SLOW_HELPS_M = 0.1
"""Slow thinking helps where its plan is nearer to the expert's by more than this."""
FOREIGN = (BLACK, NOISE, BLUR, PHOTOS, *HELD_OUT)
"""Pictures that the model was not trained on."""
SIGHT, PROBES, SIGNALS, DOUBT, PICTURES, DEPTH = "sight", "probes", "signals", "doubt", "pictures", "depth"
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Figure:
    """One line of the result. `aim`: what is asked of it, empty where nothing is."""

    name: str
    estimate: Estimate | None
    aim: str = ""


def sight(rows: Sequence[Row]) -> list[Figure]:
    """Does it look at the pictures: wrong ones, and a control that was trained without any."""
    own = _column(rows, OWN, _ade)
    found = [
        Figure("ADE 5 s, own pictures (m)", _mean(rows, OWN, _ade)),
        Figure("ADE 3 s, own pictures (m)", _mean(rows, OWN, lambda p: p.ade_3s_m)),
        Figure("ADE 5 s, constant velocity (m)", _constant_velocity(rows)),
        Figure("ADE 5 s, another world's pictures (m)", _mean(rows, SWAPPED, _ade)),
        Figure("ratio, another world's pictures over own", _ratio(rows, SWAPPED, OWN), "at least 1.3"),
        Figure("ADE 5 s, blind control (m)", _mean(rows, BLIND, _ade)),
        Figure("gain over the blind control, share of its ADE", _gain(rows), "at least 0.15, bounds above 0"),
    ]
    return [figure for figure in found if figure.estimate is not None] if len(own) else []


def doubt(rows: Sequence[Row]) -> list[Figure]:
    """Does the spread point at the worst plans."""
    found = []
    for condition, words in ((OWN, "model"), (BLIND, "blind control")):
        both = [row for row in rows if condition in row.plans]
        if not both:
            continue
        worlds, errors = [row.world for row in both], _column(both, condition, _ade)
        worst = errors >= np.quantile(errors, 1.0 - WORST_SHARE)
        for name, signal in _SIGNALS.items():
            aim = "at least 0.75" if (condition, name) == (OWN, "spread in metres") else ""
            scores = _column(both, condition, signal)
            found.append(Figure(f"AUROC, worst 10 %, {name}, {words}", auroc_estimate(worlds, scores, worst), aim))
    return found


def pictures(rows: Sequence[Row]) -> list[Figure]:
    """What pictures from outside do to plans and to doubt."""
    found = []
    for condition in (OWN, *FOREIGN):
        if not any(condition in row.plans for row in rows):
            continue
        found.append(Figure(f"spread, {condition} (m)", _mean(rows, condition, _SIGNALS["spread in metres"])))
        found.append(Figure(f"ADE 5 s, {condition} (m)", _mean(rows, condition, _ade)))
        rejected = [condition not in row.plans for row in rows]
        found.append(Figure(f"share without a valid plan, {condition}", rate([row.world for row in rows], rejected)))
        if condition != OWN:
            spread = _told_apart(rows, condition, _SIGNALS["spread in metres"])
            found.append(Figure(f"AUROC of the spread, {condition} against own", spread))
            distance = _told_apart(rows, condition, lambda p: p.vision_ood)
            found.append(Figure(f"AUROC of vision's distance, {condition} against own", distance))
    return found


def depth(rows: Sequence[Row]) -> list[Figure]:
    """Does slow thinking help, and does the fork know where."""
    both = [row for row in rows if OWN in row.plans and SLOW in row.plans]
    if not both:
        return []
    worlds = [row.world for row in both]
    gain = _column(both, OWN, _ade) - _column(both, SLOW, _ade)
    fork = _column(both, OWN, lambda p: p.slow_probability)
    demanding = np.array([row.demanding for row in both])
    chosen = fork > 0.5

    def over(where: NDArray[np.bool_], values: Numbers = gain) -> Estimate | None:
        return mean([w for w, keep in zip(worlds, where, strict=True) if keep], values[where].tolist())

    fast = _column(both, OWN, _ade)
    spread = _column(both, OWN, _SIGNALS["spread in metres"])
    parsed = [read_scene(row.plans[SLOW].text) for row in both]
    told = [read_scene(row.reasoning) for row in both]
    return [
        Figure("ADE 5 s, fast (m)", _mean(both, OWN, _ade)),
        Figure("ADE 5 s, fast, demanding samples (m)", over(demanding, fast)),
        Figure("ADE 5 s, fast, all others (m)", over(~demanding, fast)),
        Figure("ADE 5 s, slow (m)", _mean(both, SLOW, _ade)),
        Figure("fast minus slow, all (m)", mean(worlds, gain.tolist())),
        Figure("fast minus slow, demanding samples (m)", over(demanding)),
        Figure("fast minus slow, where the fork picks slow (m)", over(chosen)),
        Figure("share where the fork picks slow", rate(worlds, chosen.tolist())),
        Figure(f"share where slow helps by more than {SLOW_HELPS_M} m", rate(worlds, (gain > SLOW_HELPS_M).tolist())),
        Figure("AUROC, fork's score for slow helping", auroc_estimate(worlds, fork, gain > SLOW_HELPS_M)),
        Figure("AUROC, fast plan's spread for slow helping", auroc_estimate(worlds, spread, gain > SLOW_HELPS_M)),
        Figure("AUROC, fork's score for demanding", auroc_estimate(worlds, fork, demanding)),
        Figure("slow texts that parse", rate(worlds, [not record.code for record in parsed])),
        *[
            Figure(f"slow texts with the expert's {part}", rate(worlds, _agrees(parsed, told, value)))
            for part, value in _PARTS.items()
        ],
        *_objects(worlds, parsed, told),
    ]


def probes(rows: Sequence[Row]) -> list[Figure]:
    """What a straight line reads from the vision tower, beside what speed and command alone give away."""
    return _probed(probe_all(rows))


def signals(rows: Sequence[Row]) -> list[Figure]:
    """The same of signals that the vehicle was placed before, so that nothing else on the road tells their state."""
    return _probed(probe_signals(rows))


def _probed(probes: Sequence[Probe]) -> list[Figure]:
    found = []
    for probe in probes:
        found.append(Figure(f"{probe.figure}, {probe.name}, from the front pictures' features", probe.features))
        found.append(Figure(f"{probe.figure}, {probe.name}, from speed and command alone", probe.prompt_alone))
    return found


_SIGNALS: dict[str, Callable[[Planned], float]] = {
    "spread in metres": lambda p: p.spread_m,
    "negative log-likelihood": lambda p: p.negative_log_likelihood,
}


def _ade(plan: Planned) -> float:
    return plan.ade_m


def _column(rows: Sequence[Row], condition: str, value: Callable[[Planned], float]) -> Numbers:
    return np.array([value(row.plans[condition]) for row in rows if condition in row.plans], np.float64)


def _mean(rows: Sequence[Row], condition: str, value: Callable[[Planned], float]) -> Estimate | None:
    worlds = [row.world for row in rows if condition in row.plans]
    return mean(worlds, _column(rows, condition, value).tolist())


def _ratio(rows: Sequence[Row], above: str, below: str) -> Estimate | None:
    both = [row for row in rows if above in row.plans and below in row.plans]
    return ratio([row.world for row in both], _column(both, above, _ade).tolist(), _column(both, below, _ade).tolist())


def _gain(rows: Sequence[Row]) -> Estimate | None:
    both = [row for row in rows if OWN in row.plans and BLIND in row.plans]
    blind = _column(both, BLIND, _ade)
    return ratio([row.world for row in both], (blind - _column(both, OWN, _ade)).tolist(), blind.tolist())


def _constant_velocity(rows: Sequence[Row]) -> Estimate | None:
    return mean([row.world for row in rows], [row.constant_velocity_m for row in rows])


def _told_apart(rows: Sequence[Row], condition: str, signal: Callable[[Planned], float]) -> Estimate | None:
    both = [row for row in rows if OWN in row.plans and condition in row.plans]
    worlds = [row.world for row in both]
    scores = np.concatenate([_column(both, condition, signal), _column(both, OWN, signal)])
    outside = np.arange(len(scores)) < len(both)
    return auroc_estimate([*worlds, *worlds], scores, outside)


def _agrees(
    parsed: Sequence[SceneRecord], told: Sequence[SceneRecord], part: Callable[[SceneRecord], str]
) -> list[bool]:
    return [not a.code and not b.code and part(a) == part(b) for a, b in zip(parsed, told, strict=True)]


def _objects(worlds: Sequence[int], parsed: Sequence[SceneRecord], told: Sequence[SceneRecord]) -> list[Figure]:
    """Where the expert names an object: is it named, and how far off is its distance, beside one guess for all."""
    there = [
        (world, said.objects[0] if said.objects else None, expert.objects[0])
        for world, said, expert in zip(worlds, parsed, told, strict=True)
        if expert.objects
    ]
    same = [(world, said, expert) for world, said, expert in there if said is not None and said.kind == expert.kind]
    metres = np.array([expert.distance_m for _, _, expert in same])
    guess = np.abs(metres - np.median(metres)) if len(metres) else metres
    named = [said is not None and said.kind == expert.kind for _, said, expert in there]
    off = [abs(said.distance_m - expert.distance_m) for _, said, expert in same]
    own = [world for world, _, _ in same]
    return [
        Figure(
            "slow texts with the expert's object, where it names one", rate([world for world, _, _ in there], named)
        ),
        Figure("error of that object's distance (m)", mean(own, off)),
        Figure("error of that object's distance, were the median always said (m)", mean(own, guess.tolist())),
    ]


_PARTS: dict[str, Callable[[SceneRecord], str]] = {
    "scene": lambda record: record.scene,
    "nearest critical object": lambda record: record.objects[0].kind if record.objects else "",
    "intent": lambda record: record.intent,
    "lateral action": lambda record: record.lateral,
    "speed action": lambda record: record.longitudinal,
}


MEASURES: dict[str, Callable[[Sequence[Row]], list[Figure]]] = {
    SIGHT: sight, PROBES: probes, SIGNALS: signals, DOUBT: doubt, PICTURES: pictures, DEPTH: depth
}  # fmt: skip
CONDITIONS_OF: dict[str, tuple[str, ...]] = {
    SIGHT: (OWN, SWAPPED, BLIND),
    PROBES: (),
    SIGNALS: (),
    DOUBT: (OWN, BLIND),
    PICTURES: (OWN, *FOREIGN),
    DEPTH: (OWN, SLOW),
}
"""What each measure plans; the blind control and photographs only where they are given."""
