"""Planners for several independent streams (vehicles, recordings, drives of an evaluation) on one set of engines."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from onboard_vla.core.cameras import FrameSet
from onboard_vla.core.concurrent_work import results_of
from onboard_vla.core.ego import EgoState
from onboard_vla.core.plan import Plan, PlanRejection
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.engine import Arrays, Engine, OnnxEngine
from onboard_vla.runtime.planner import Planner
from onboard_vla.runtime.stream_batching import NEVER, StreamBatch


@dataclass(frozen=True, eq=False)
class PlanRequest:
    """What one stream asks for. `deadline_s`: of `time.monotonic()`; without one it waits for the other streams."""

    frames: FrameSet
    ego: EgoState
    command: str
    plan_id: int
    depth: str | None = None
    deadline_s: float = NEVER


class Streams:
    """Planners that share engines; each stream has its caches, its guesses and one plan at a time.

    Vision runs one stream at a time, and so do prefills; what follows them is joined (`stream_batching`).
    """

    def __init__(
        self,
        bundle: Bundle,
        streams: int,
        *,
        threads: int = 1,
        load: Callable[[Path], Engine] | None = None,
        look_ahead: bool = True,
    ) -> None:
        """`streams`: how many at most. The rest: see `Planner`."""
        if streams < 1:
            raise ValueError(f"{streams} streams: expected at least one")
        make = load or (lambda path: OnnxEngine(path, threads))
        language = bundle.path / bundle.manifest.language_graph
        self.batch = StreamBatch(make(language), streams)
        names = {camera.vision_graph for camera in bundle.manifest.cameras}
        shared = {bundle.path / name: (make(bundle.path / name), threading.Lock()) for name in names}

        def engine_of(stream: int) -> Callable[[Path], Engine]:
            return lambda path: self.batch.engine(stream) if path == language else _InTurn(*shared[path])

        self.planners = tuple(
            Planner(bundle, load=engine_of(stream), look_ahead=look_ahead) for stream in range(streams)
        )
        self._pool = ThreadPoolExecutor(streams, "stream")

    def close(self) -> None:
        """End the threads of `plan_all`."""
        self._pool.shutdown()

    def plan(self, stream: int, request: PlanRequest) -> Plan | PlanRejection:
        """One stream's plan; other streams may plan at the same time, in threads of their own.

        Raises:
            EngineError: an execution failed.
        """
        with self.batch.planning({stream: request.deadline_s}):
            return self._plan(stream, request)

    def plan_all(self, requests: Mapping[int, PlanRequest]) -> dict[int, Plan | PlanRejection]:
        """Plans of several streams, begun together. Without deadlines the same requests give the same bits again.

        Raises:
            EngineError: an execution failed; the other streams' plans have ended, too.
        """
        with self.batch.planning({stream: request.deadline_s for stream, request in requests.items()}):
            begun = (self._pool.submit(self._begun, stream, request) for stream, request in requests.items())
            return dict(zip(requests, results_of(begun), strict=True))

    def _begun(self, stream: int, request: PlanRequest) -> Plan | PlanRejection:
        try:
            return self._plan(stream, request)
        finally:
            self.batch.leave(stream)

    def _plan(self, stream: int, request: PlanRequest) -> Plan | PlanRejection:
        planner = self.planners[stream]
        return planner.plan(request.frames, request.ego, request.command, request.plan_id, depth=request.depth)


class _InTurn:
    """An engine that several streams use one after the other."""

    def __init__(self, engine: Engine, free: threading.Lock) -> None:
        self._engine, self._free = engine, free
        self.executions = 0

    def run(self, inputs: Arrays, outputs: Arrays) -> None:
        """See `Engine.run`."""
        with self._free:
            self._engine.run(inputs, outputs)
        self.executions += 1
