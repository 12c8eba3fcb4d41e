"""A node as it is shipped, with a stopwatch round its callbacks, inference and ticks; for benchmarks/ros_cameras.py.

    python benchmarks/ros_stopwatch.py OUT.json vla_planner|camera_guard|safety_supervisor [--rclpy] --ros-args ...

`--rclpy`: on rclpy's executor, to compare. When the node ends, OUT.json holds all samples. Times are of this process:
monotonic for "when", processor time of the calling thread for "how long".
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from onboard_vla.core.process import Role
from onboard_vla.core.process_graph import CAMERA_GUARD, PLANNER, SUPERVISOR
from onboard_vla.ros_nodes import executor
from onboard_vla.ros_nodes.node_main import run_node
from onboard_vla.ros_nodes.ports import Subscriptions
from onboard_vla.runtime.jpeg import decode_frame
from onboard_vla.runtime.planner import Planner
from onboard_vla.runtime.planner_host import PLANNER_ROLE
from onboard_vla.safety.camera_guard_host import camera_guard_role
from onboard_vla.safety.supervisor_host import SupervisorHost, supervisor_role

PERIOD_S = 0.5


class Stopwatch:
    """What was measured; filled from several threads, each list by one of them."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self.callbacks: list[tuple[int, float, str, int, int]] = []
        """When (monotonic ns), how long (ms), topic, the picture's stamp or 0, and its age on arrival (ns)."""
        self.ticks: list[tuple[int, float, float]] = []
        """When, and processor time of the executor's thread (ms): since the tick before, and in this tick with its
        publication."""
        self.samples: list[tuple[int, float, float, float, int, dict[str, float], int]] = []
        """When; processor time (s) of the process, of inference, of decoding therein; plans so far; time by thread;
        pictures decoded so far."""
        self.inference_s = self.decode_s = 0.0
        self.plans = self.decoded = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stopwatch", daemon=True)

    def attach(self) -> None:
        """Put the watch round the node's functions."""
        make, plan, tick = Subscriptions._callback, Planner.plan, SupervisorHost._tick
        last_tick_s = 0.0

        def callback(ports: Subscriptions, row: Any, codec: Any, *rest: Any) -> Callable[[Any], None]:  # noqa: ANN401
            inner = make(ports, row, codec, *rest)

            def timed(received: Any) -> None:  # noqa: ANN401 - the row's ROS type
                begin, arrived_ns = time.perf_counter_ns(), time.time_ns()
                inner(received)
                took_ms = (time.perf_counter_ns() - begin) / 1e6
                stamp_ns = 0
                if "image" in row.port:
                    stamp = received.header.stamp
                    stamp_ns = stamp.sec * 1_000_000_000 + stamp.nanosec
                self.callbacks.append((time.monotonic_ns(), took_ms, row.port, stamp_ns, arrived_ns - stamp_ns))

            return timed

        def planned(planner: Planner, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - passed on
            begin = time.thread_time()
            result = plan(planner, *arguments, **options)
            self.inference_s += time.thread_time() - begin
            self.decode_s, self.decoded = planner.vision.decode_s, planner.vision.decoded
            self.plans += 1
            return result

        def ticked(host: SupervisorHost) -> None:
            nonlocal last_tick_s
            begin_s = time.thread_time()
            tick(host)
            now_s = time.thread_time()
            self.ticks.append((time.monotonic_ns(), (now_s - last_tick_s) * 1e3, (now_s - begin_s) * 1e3))
            last_tick_s = now_s

        Subscriptions._callback = callback  # type: ignore[method-assign]
        Planner.plan = planned  # type: ignore[method-assign]
        SupervisorHost._tick = ticked  # type: ignore[method-assign]
        self._thread.start()

    def end(self) -> None:
        """Write for the last time."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(PERIOD_S):
            self._write()
        self._write()

    def _write(self) -> None:
        spent = time.process_time(), self.inference_s, self.decode_s
        self.samples.append((time.monotonic_ns(), *spent, self.plans, seconds_by_thread(), self.decoded))
        document = {"callbacks": self.callbacks.copy(), "ticks": self.ticks.copy(), "samples": self.samples}
        if self._ended.is_set():
            self._out.write_text(json.dumps(document), encoding="utf-8")


def seconds_by_thread() -> dict[str, float]:
    """Processor time of each kind of thread; Python's go by their own names, others by the kernel's."""
    ours = {thread.native_id: thread.name for thread in threading.enumerate()}
    spent: dict[str, float] = {}
    for task in Path("/proc/self/task").iterdir():
        try:
            name, _, rest = (task / "stat").read_text(encoding="utf-8").partition("(")[2].rpartition(")")
        except OSError:  # it has just ended
            continue
        fields = rest.split()
        name = ours.get(int(task.name), name)
        spent[name] = spent.get(name, 0.0) + (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return spent


def main() -> int:
    """Run one node."""
    out, process, *arguments = sys.argv[1:]
    roles: dict[str, Role] = {
        PLANNER: PLANNER_ROLE,
        CAMERA_GUARD: camera_guard_role(yaml.compose, decode_frame),
        SUPERVISOR: supervisor_role(yaml.compose),
    }
    watch = Stopwatch(Path(out))
    watch.attach()
    if arguments[0] == "--rclpy":
        arguments.pop(0)
        os.environ[executor.CHOICE] = executor.OWN
    status = run_node(roles[process], arguments, lifecycle=process == PLANNER)
    watch.end()
    return status


if __name__ == "__main__":
    sys.exit(main())
