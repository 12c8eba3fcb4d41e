"""What is wrong with a list of objects: alone, and against the list before it (10.2 F19)."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.clock import Now, nanoseconds, seconds
from onboard_vla.core.objects import ObjectList
from onboard_vla.core.safe_trajectory import Mode
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.guards.clock_step import Restate
from onboard_vla.safety.input_config import ObjectLimits
from onboard_vla.safety.ladder import Request
from onboard_vla.safety.object_memory import ObjectSet

Array = NDArray[np.float64]

OBJECTS_MAX = 1000
"""More objects than any perception reports; a list beyond it is refused rather than computed on."""


def list_fault(count: int, states: Array, limits: ObjectLimits) -> Reason | None:
    """Why a list must not be used. `states` (N, 7) as `ObjectList.states`, of the first `OBJECTS_MAX` at most."""
    if count > OBJECTS_MAX:
        return Reason("OBJECTS_TOO_MANY", float(count), float(OBJECTS_MAX), "objects in a list")
    if not np.isfinite(states).all():
        return Reason("OBJECTS_NOT_FINITE", 1.0, 0.0, "a field of an object is not finite")
    if not count:
        return None
    smallest = float(states[:, 5:].min())
    if smallest <= 0.0:
        return Reason("OBJECTS_IMPLAUSIBLE", smallest, 0.0, "length or width, m")
    fastest = float(np.hypot(states[:, 3], states[:, 4]).max())
    if fastest > limits.speed_max_mps:
        return Reason("OBJECTS_IMPLAUSIBLE", fastest, limits.speed_max_mps, "speed over ground, m/s")
    return None


class ObjectWatch:
    """Identities over the lists: objects that jump, identities that change places, and all of them gone at once.

    The supervisor matches objects by place, so none of this moves a box; it says that perception is not to be trusted.
    """

    def __init__(self, limits: ObjectLimits) -> None:
        self._limits = limits
        self._ids: NDArray[np.int64] = np.zeros(0, np.int64)
        self._states: Array = np.zeros((0, 7))
        self._stamp_ns = 0
        self._events: deque[tuple[int, int, int]] = deque()
        self._vanished: tuple[int, int] | None = None

    def add(self, message: ObjectList, states: Array, confirmed: ObjectSet, here: Array | None, now: Now) -> None:
        """Compare a good list with the one before. `confirmed`: objects known before it; `here` (2,): the vehicle."""
        ids = np.array([item.track_id for item in message.objects], np.int64)
        if not len(ids):
            self._watch_vanishing(confirmed, here, now)
        elif self._vanished is not None:
            self._vanished = None
        mixed, jumped = self._compare(ids, states, message.stamp_ns)
        if mixed or jumped:
            self._events.append((now.monotonic_ns, mixed, jumped))
        self._ids, self._states, self._stamp_ns = ids, states, message.stamp_ns

    def restate(self, clock: Restate) -> None:
        """The data clock has stepped."""
        self._stamp_ns = clock(self._stamp_ns)

    def requests(self, now: Now) -> list[Request]:
        """Jumps L2, mixed-up identities L1; vanished objects L1: the fallback would be blind where the model sees."""
        limits = self._limits
        while self._events and now.monotonic_ns - self._events[0][0] > nanoseconds(limits.window_s):
            self._events.popleft()
        mixed, jumped = (sum(event[column] for event in self._events) for column in (1, 2))
        requests = []
        if jumped >= limits.jumps:
            reason = Reason(
                "OBJECTS_JUMP", float(jumped), float(limits.jumps), f"impossible jumps in {limits.window_s:g} s"
            )
            requests.append(Request(Mode.FALLBACK, reason))
        if mixed >= limits.jumps:
            detail = f"identities that changed places in {limits.window_s:g} s"
            requests.append(
                Request(Mode.REDUCED, Reason("OBJECTS_MIXED_UP", float(mixed), float(limits.jumps), detail))
            )
        if self._vanished is not None:
            since_ns, count = self._vanished
            if seconds(now.monotonic_ns - since_ns) <= limits.vanished_hold_s:
                reason = Reason(
                    "OBJECTS_VANISHED", float(count), float(limits.vanished), "near objects gone in one list"
                )
                requests.append(Request(Mode.REDUCED, reason))
        return requests

    def _watch_vanishing(self, confirmed: ObjectSet, here: Array | None, now: Now) -> None:
        if here is None or not len(self._ids):
            return
        near = np.hypot(*(confirmed.states[:, :2] - here).T) <= self._limits.vanished_near_m
        if int(near.sum()) >= self._limits.vanished:
            self._vanished = now.monotonic_ns, int(near.sum())

    def _compare(self, ids: NDArray[np.int64], states: Array, stamp_ns: int) -> tuple[int, int]:
        """How many identities stand where another one was expected, and how many stand where nothing was."""
        elapsed_s = seconds(stamp_ns - self._stamp_ns)
        twice = len(ids) - len(np.unique(ids))
        if not len(self._ids) or not len(ids) or elapsed_s > self._limits.memory_s:
            return twice, 0
        expected = self._states[:, :2] + elapsed_s * self._states[:, 3:5]
        _, new, old = np.intersect1d(ids, self._ids, return_indices=True)
        reach = self._limits.jump_m + self._limits.jump_per_s * elapsed_s
        moved = new[np.hypot(*(states[new, :2] - expected[old]).T) > reach]
        if not len(moved):
            return twice, 0
        gaps = np.linalg.norm(states[moved, None, :2] - expected[None], axis=2)
        swapped = int((gaps.min(axis=1) <= reach).sum())
        return twice + swapped, len(moved) - swapped
