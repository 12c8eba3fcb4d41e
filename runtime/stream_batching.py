"""One language engine for several independent streams: their small passes run together, each on its own cached tokens.

All streams' keys and values lie in one block, a segment each, so that a common pass reads them in place: it takes the
whole range as its past, and a mask leaves each row its own segment. What leaves the pass, a few tokens' keys and
values, is written to the segments. Long passes (prefills) run alone and read their own segment only: to the bit what
they are without other streams. In a common pass sums have zeros in other places, so logits are equal but for last bits.

Passes are joined when every stream that is planning waits with one: then which passes run together depends on the plans
and not on time, and the same plans give the same bits again. A stream with a deadline waits for others no longer than
`RESERVE_S` before it; among more passes than fit one run, the earliest deadline goes first; a plan past its deadline is
given up.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.bundle_manifest import MASKED_BIAS
from onboard_vla.core.errors import EngineError
from onboard_vla.runtime.answer_grammar import CANCELLED, DecodeError
from onboard_vla.runtime.engine import Arrays, Engine

MOST_NEW = 32
"""Tokens of one stream's pass up to which it joins others; longer ones fill a machine by themselves."""
MOST_ROWS = 256
"""Tokens of one common pass."""
RESERVE_S = 0.05
"""How long before its deadline a stream stops waiting for others."""
PASSED_ON = ("embeds", "cos", "sin")
NEVER = math.inf


@dataclass(eq=False)
class _Pass:
    """One stream's pass; `error` and `done` are set by whoever runs it."""

    stream: int
    deadline_s: float
    inputs: Arrays
    outputs: Arrays
    error: Exception | None = None
    done: bool = False

    @property
    def new(self) -> int:
        """Its tokens."""
        return len(self.inputs["embeds"])


class StreamBatch:
    """Joins the passes of several streams. `runs`: of the engine, `joined`: passes that ran in common ones."""

    def __init__(self, engine: Engine, streams: int) -> None:
        self._engine, self._streams = engine, streams
        self._changed = threading.Condition()
        self._engine_free = threading.Lock()
        self._deadlines: dict[int, float] = {}
        self._waiting: list[_Pass] = []
        self._leading = False
        self._block: NDArray[np.float32] | None = None
        self.joined = 0

    @property
    def runs(self) -> int:
        """Finished runs of the engine."""
        return self._engine.executions

    def engine(self, stream: int) -> StreamEngine:
        """What a stream's language model runs on."""
        return StreamEngine(self, stream)

    @contextmanager
    def planning(self, deadlines: dict[int, float]) -> Iterator[None]:
        """These streams plan: others' passes wait for theirs. Values: `time.monotonic()` of deadlines, or `NEVER`."""
        with self._changed:
            self._deadlines |= deadlines
        try:
            yield
        finally:
            for stream in deadlines:
                self.leave(stream)

    def leave(self, stream: int) -> None:
        """This stream's plan is done: nobody waits for it any more."""
        with self._changed:
            self._deadlines.pop(stream, None)
            self._changed.notify_all()

    def segment(self, stream: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """A stream's part (2 * layers, capacity, kv_heads, head_dim) of the common block.

        Raises:
            EngineError: another stream asked for another shape.
        """
        capacity = shape[1]
        with self._changed:
            if self._block is None:
                self._block = np.zeros((shape[0], self._streams * capacity, *shape[2:]), np.float32)
            if self._block.shape != (shape[0], self._streams * capacity, *shape[2:]):
                raise EngineError(f"stream {stream}: a cache of {shape}; the others' differ: {self._block.shape}")
            return self._block[:, stream * capacity : (stream + 1) * capacity]

    def run(self, one: _Pass) -> None:
        """Run a pass, alone or with others'; returns when it is done.

        Raises:
            EngineError: the run failed.
            DecodeError: the stream's deadline is over.
        """
        with self._changed:
            one.deadline_s = self._deadlines.get(one.stream, NEVER)
            if time.monotonic() > one.deadline_s:
                raise DecodeError(CANCELLED, f"stream {one.stream}: its deadline is over")
        if one.new > MOST_NEW:
            with self._engine_free:
                self._alone(one)
            return
        with self._changed:
            self._waiting.append(one)
            self._changed.notify_all()
            while not one.done:
                if not self._leading and (due := self._due()):
                    self._lead(due)
                else:
                    self._changed.wait(self._patience_s(one))
        if one.error is not None:
            raise one.error

    def _due(self) -> list[_Pass]:
        """Passes to run now, earliest deadline first: all, if everybody waits; else those that cannot wait longer."""
        now = time.monotonic()
        everybody = {one.stream for one in self._waiting} >= self._deadlines.keys()
        if not everybody and not any(one.deadline_s - RESERVE_S <= now for one in self._waiting):
            return []
        chosen, rows = list[_Pass](), 0
        for one in sorted(self._waiting, key=lambda item: (item.deadline_s, item.stream)):
            rows += one.new
            if chosen and rows > MOST_ROWS:
                break
            chosen.append(one)
        return chosen

    def _patience_s(self, one: _Pass) -> float | None:
        return None if one.deadline_s == NEVER else max(one.deadline_s - RESERVE_S - time.monotonic(), 1e-3)

    def _lead(self, chosen: list[_Pass]) -> None:
        """Run these passes with the lock given up meanwhile; it is held on entry and on return."""
        self._leading = True
        self._waiting = [one for one in self._waiting if one not in chosen]
        self._changed.release()
        try:
            with self._engine_free:
                self._run_all(chosen)
        finally:
            self._changed.acquire()
            self._leading = False
            self._changed.notify_all()

    def _run_all(self, chosen: Sequence[_Pass]) -> None:
        try:
            if len(chosen) == 1 or not self._together(chosen):
                for one in chosen:
                    self._alone(one)
        except Exception as error:  # whatever it is, every stream must learn of it, in its own thread
            for one in chosen:
                one.error = error
        finally:
            for one in chosen:
                one.done = True

    def _alone(self, one: _Pass) -> None:
        self._engine.run(one.inputs, one.outputs)
        if not np.isfinite(one.outputs["logits"]).all():
            # A weight of zero times NaN is NaN: what is left in this segment must not reach the others' sums.
            for name, array in one.outputs.items():
                if name != "logits":
                    array[:] = 0.0

    def _together(self, chosen: Sequence[_Pass]) -> bool:
        """One run for all; false if something is not finite, and it is to be found out whose it is."""
        block = self._block
        if block is None:
            raise EngineError("streams: no cache lies in the common block")
        capacity = block.shape[1] // self._streams
        low, high = min(p.stream for p in chosen) * capacity, (max(p.stream for p in chosen) + 1) * capacity
        begins = np.cumsum([0, *(one.new for one in chosen)])
        past, total = high - low, int(begins[-1])
        bias = np.full((total, past + total), MASKED_BIAS, np.float32)
        for one, begin in zip(chosen, begins, strict=False):
            own, first = one.inputs["bias"], one.stream * capacity - low
            known = own.shape[1] - one.new
            rows = slice(begin, begin + one.new)
            bias[rows, first : first + known] = own[:, :known]
            bias[rows, past + begin : past + begin + one.new] = own[:, known:]
        inputs = {name: np.concatenate([one.inputs[name] for one in chosen]) for name in PASSED_ON}
        inputs["rows"] = np.concatenate([one.inputs["rows"] + b for one, b in zip(chosen, begins, strict=False)])
        inputs["bias"] = bias
        for i in range(len(block) // 2):
            inputs[f"past_key_{i}"], inputs[f"past_value_{i}"] = block[2 * i, low:high], block[2 * i + 1, low:high]
        outputs = {
            name: np.empty((sum(len(one.outputs[name]) for one in chosen), *array.shape[1:]), np.float32)
            for name, array in chosen[0].outputs.items()
        }
        self._engine.run(inputs, outputs)
        if not np.isfinite(outputs["logits"]).all():
            return False
        for name, array in outputs.items():
            begin = 0
            for one in chosen:
                target = one.outputs[name]
                target[:] = array[begin : begin + len(target)]
                begin += len(target)
        self.joined += len(chosen)
        return True


class StreamEngine:
    """One stream's language engine; see `Engine`. `executions` counts its own passes."""

    def __init__(self, batch: StreamBatch, stream: int) -> None:
        self._batch, self._stream = batch, stream
        self.executions = 0

    def run(self, inputs: Arrays, outputs: Arrays) -> None:
        """See `StreamBatch.run`."""
        self._batch.run(_Pass(self._stream, NEVER, inputs, outputs))
        self.executions += 1

    def cache_block(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """See `CacheKeeper`."""
        return self._batch.segment(self._stream, shape)
