"""What faults do to plans and heartbeats on their way from the planner to the supervisor."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.app.campaign.tamper import Change, Memory
from onboard_vla.core.clock import Now
from onboard_vla.core.plan import Heartbeat, Plan, PlanRejection
from onboard_vla.core.process_graph import PLANNER
from onboard_vla.core.wire import Message

Poses = NDArray[np.float64]
STEPS, SUB_STEPS, STEP_S = 10, 5, 0.5


def moved(shape: Callable[[Poses, Memory], Poses]) -> Change:
    """The plan's fine poses (50, 3) are others; poses, counts and doubt stay consistent with them.

    A plan that another fault has given other lengths stays as it is: in a pair, that fault is the one to see.
    """

    def change(message: Message, now: Now, memory: Memory) -> Sequence[Message]:
        if not isinstance(message, Plan) or message.fine_poses.shape != (STEPS * SUB_STEPS, 3):
            return (message,)
        fine = shape(np.asarray(message.fine_poses, np.float64), memory).astype(np.float32)
        return (dataclasses.replace(message, fine_poses=fine, poses=fine[SUB_STEPS - 1 :: SUB_STEPS]),)

    return change


def sideways(offset_m: float, over_s: float) -> Callable[[Poses, Memory], Poses]:
    """An S to the side, kinematically tame: reached after `over_s`."""

    def shape(fine: Poses, memory: Memory) -> Poses:
        times = np.arange(1, len(fine) + 1) * STEP_S / SUB_STEPS
        share = np.clip(times / over_s, 0.0, 1.0)
        lateral = offset_m * share * share * (3 - 2 * share)
        out = fine.copy()
        out[:, 0] -= np.sin(fine[:, 2]) * lateral
        out[:, 1] += np.cos(fine[:, 2]) * lateral
        return _headed(out)

    return shape


def swinging(offset_m: float) -> Callable[[Poses, Memory], Poses]:
    """Every plan swings to the other side than the one before."""

    def shape(fine: Poses, memory: Memory) -> Poses:
        memory.notes["side"] = -memory.notes.get("side", 1)
        return sideways(offset_m * memory.notes["side"], 2.5)(fine, memory)

    return shape


def stop_and_go(fine: Poses, memory: Memory) -> Poses:
    """Every second plan brakes at 3 m/s^2, the others speed up by 1.5 m/s^2."""
    memory.notes["go"] = not memory.notes.get("go", False)
    return accelerated(1.5 if memory.notes["go"] else -3.0)(fine, memory)


def accelerated(acceleration_mps2: float) -> Callable[[Poses, Memory], Poses]:
    """The same path with this acceleration from the plan's first speed on, whatever stands in the way."""

    def shape(fine: Poses, memory: Memory) -> Poses:
        path = np.vstack([np.zeros(3), fine])
        arcs = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(path[:, :2], axis=0).T))])
        speed = arcs[1] / (STEP_S / SUB_STEPS)
        times = np.arange(1, len(fine) + 1) * STEP_S / SUB_STEPS
        end = times if acceleration_mps2 >= 0 else np.minimum(times, speed / -acceleration_mps2)
        along = speed * end + acceleration_mps2 * end**2 / 2
        beyond = np.maximum(along - arcs[-1], 0.0)
        heading = np.interp(along, arcs, path[:, 2])
        x = np.interp(along, arcs, path[:, 0]) + beyond * np.cos(path[-1, 2])
        y = np.interp(along, arcs, path[:, 1]) + beyond * np.sin(path[-1, 2])
        return np.column_stack([x, y, heading])

    return shape


def straight_ahead(fine: Poses, memory: Memory) -> Poses:
    """Straight on at the plan's first speed: what a model that sees nothing confidently says."""
    step = float(np.hypot(*fine[0, :2]))
    return np.column_stack([step * np.arange(1, len(fine) + 1), np.zeros(len(fine)), np.zeros(len(fine))])


def random_tokens(fine: Poses, memory: Memory) -> Poses:
    """Ten unrelated motions out of the range of a driving codebook, end to end."""
    return _chain([_token(memory) for _ in range(STEPS)])


def one_token_replaced(fine: Poses, memory: Memory) -> Poses:
    """One of ten steps is another token of the codebook; what follows is joined on."""
    steps = _tokens_of(fine)
    steps[int(memory.rng.integers(STEPS))] = _token(memory)
    return _chain(steps)


def infeasible_token(fine: Poses, memory: Memory) -> Poses:
    """One step that no vehicle can drive: reverse, spin or slide."""
    steps = _tokens_of(fine)
    choice = ((-2.0, 0.0, 0.0), (3.0, 0.0, 1.2), (2.0, 2.5, 0.0))[int(memory.rng.integers(3))]
    steps[int(memory.rng.integers(STEPS))] = _sub_steps(*choice)
    return _chain(steps)


def doubting(**signals: float) -> Change:
    """The plan's uncertainty signals have these values (spread_m, outside_mass, chosen_mass)."""

    def change(message: Message, now: Now, memory: Memory) -> Sequence[Message]:
        if not isinstance(message, Plan):
            return (message,)
        arrays: dict[str, Any] = {name: np.full(STEPS, value, np.float32) for name, value in signals.items()}
        return (dataclasses.replace(message, uncertainty=dataclasses.replace(message.uncertainty, **arrays)),)

    return change


def doubting_in(pattern: Sequence[bool], **signals: float) -> Change:
    """As `doubting`, in these of the first plans after the onset; the pattern's last value holds on."""
    spoiled = doubting(**signals)

    def change(message: Message, now: Now, memory: Memory) -> Sequence[Message]:
        if not isinstance(message, Plan):
            return (message,)
        count = memory.notes["count"] = memory.notes.get("count", -1) + 1
        return spoiled(message, now, memory) if pattern[min(count, len(pattern) - 1)] else (message,)

    return change


def not_finite(name: str, value: float) -> Change:
    """One number of the plan is `value`: in `poses`, `fine_poses`, or a signal of its uncertainty."""

    def change(message: Message, now: Now, memory: Memory) -> Sequence[Message]:
        if not isinstance(message, Plan):
            return (message,)
        holder: Any = message if hasattr(message, name) else message.uncertainty
        array = getattr(holder, name).copy()
        array.flat[int(memory.rng.integers(array.size))] = value
        broken = dataclasses.replace(holder, **{name: array})
        return (broken if holder is message else dataclasses.replace(message, uncertainty=broken),)

    return change


def tokens(choose: Callable[[Plan, Memory], tuple[int, ...]]) -> Change:
    """The plan says that it was made of these action tokens; with their count, poses come and go."""

    def change(message: Message, now: Now, memory: Memory) -> Sequence[Message]:
        if not isinstance(message, Plan):
            return (message,)
        found = choose(message, memory)
        repeats = math.ceil(max(len(found), 1) / STEPS)
        fine = np.tile(message.fine_poses, (repeats, 1))[: len(found) * SUB_STEPS]
        return (
            dataclasses.replace(message, action_tokens=found, fine_poses=fine, poses=fine[SUB_STEPS - 1 :: SUB_STEPS]),
        )

    return change


def planner_gone(message: Message, now: Now, memory: Memory) -> Sequence[Message]:
    """Nothing comes from the planner's process; the camera guard goes on."""
    return () if _of_planner(message) else (message,)


def planner_restarting(away_ns: int) -> Change:
    """Killed, and back after a time as another process."""

    def change(message: Message, now: Now, memory: Memory) -> Sequence[Message]:
        if not _of_planner(message):
            return (message,)
        if now.monotonic_ns < memory.onset_ns + away_ns:
            return ()
        return (dataclasses.replace(message, process_id=7),) if isinstance(message, Heartbeat) else (message,)

    return change


def engine_stuck(message: Message, now: Now, memory: Memory) -> Sequence[Message]:
    """The planner's thread beats on, beside an engine whose call never returns."""
    if isinstance(message, Heartbeat) and message.process == PLANNER:
        done = memory.notes.setdefault("done", message.work_done)
        return (dataclasses.replace(message, work_started=done + 1, work_done=done),)
    return () if isinstance(message, (Plan, PlanRejection)) else (message,)


def _of_planner(message: Message) -> bool:
    return isinstance(message, (Plan, PlanRejection)) or (isinstance(message, Heartbeat) and message.process == PLANNER)


def _token(memory: Memory) -> Poses:
    """A motion of half a second, uniform over a codebook's range: up to 15 m forward, 3 m aside, 0.8 rad."""
    rng = memory.rng
    return _sub_steps(float(rng.uniform(0.0, 15.0)), float(rng.normal(0.0, 1.0)), float(rng.normal(0.0, 0.25)))


def _sub_steps(x_m: float, y_m: float, heading_rad: float) -> Poses:
    share = np.arange(1, SUB_STEPS + 1)[:, None] / SUB_STEPS
    return np.asarray(share * np.array([x_m, y_m, heading_rad]))


def _tokens_of(fine: Poses) -> list[Poses]:
    path = np.vstack([np.zeros(3), fine])
    found = []
    for k in range(0, len(fine), SUB_STEPS):
        base = path[k]
        cos, sin = math.cos(base[2]), math.sin(base[2])
        move = path[k + 1 : k + 1 + SUB_STEPS] - base
        x, y = cos * move[:, 0] + sin * move[:, 1], -sin * move[:, 0] + cos * move[:, 1]
        found.append(np.column_stack([x, y, move[:, 2]]))
    return found


def _chain(steps: Sequence[Poses]) -> Poses:
    base, out = np.zeros(3), []
    for step in steps:
        cos, sin = math.cos(base[2]), math.sin(base[2])
        x = base[0] + cos * step[:, 0] - sin * step[:, 1]
        y = base[1] + sin * step[:, 0] + cos * step[:, 1]
        out.append(np.column_stack([x, y, base[2] + step[:, 2]]))
        base = out[-1][-1]
    return np.vstack(out)


def _headed(fine: Poses) -> Poses:
    """Headings along the path's own direction."""
    path = np.vstack([np.zeros(2), fine[:, :2]])
    move = np.diff(path, axis=0)
    heading = np.where(np.hypot(move[:, 0], move[:, 1]) > 0.05, np.arctan2(move[:, 1], move[:, 0]), fine[:, 2])
    return np.column_stack([fine[:, :2], heading])
