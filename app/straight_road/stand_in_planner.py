"""A planner process without a model: python -m onboard_vla.app.straight_road.stand_in_planner zmq|ros [arguments].

It drives straight on, at the speed that the route allows (without a route at its own), so that transports, guard and
supervisor are tested without a bundle. With `waits_for` it is built when the file of that name is there; `warm_up_s`
and `warm_up_fails` are about warming up, which happens where the real planner's does.
Signals break it: SIGUSR1 makes its main thread hold the interpreter's lock in a C call, as a native library can,
SIGUSR2 its worker raise, SIGRTMIN its plans keep one picture's stamp and motion for ever, while all else goes on, and
SIGRTMIN + 1 its worker stand still, as in a call that does not return.
"""

from __future__ import annotations

import ctypes
import dataclasses
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.cameras import FRONT, CameraFrame, CompressedFrame
from onboard_vla.core.clock import Now
from onboard_vla.core.ego import EgoState
from onboard_vla.core.errors import ConfigurationError, EngineError
from onboard_vla.core.plan import FAST, SLOW, Heartbeat, PassCount, Plan, Uncertainty
from onboard_vla.core.process import Clock, Option, OptionValue, Role
from onboard_vla.core.process_graph import PLANNER, PlannerInput
from onboard_vla.core.realtime import REALTIME_OPTION
from onboard_vla.core.road import Route
from onboard_vla.core.supervision import Supervision
from onboard_vla.runtime.depth_policy import DepthLimits
from onboard_vla.runtime.planner_host import PlannerHost
from onboard_vla.runtime.planner_options import SILENT_AFTER_S, STUCK_AFTER_S
from onboard_vla.runtime.second_answers import SecondAnswers

STEPS, SUB_STEPS, STEP_S = 10, 5, 0.5
CHANGE_MPS2 = 1.0
"""Acceleration or braking with which a plan comes to the route's speed."""
LOOK_S = 0.02
"""How often it looks for the file that it waits for."""
HELD_S = 2
"""How long SIGUSR1 holds the interpreter's lock, where nothing else is asked for."""


class StraightBody:
    """A planner body that makes a straight plan of every new front picture, until it dies if so asked."""

    def __init__(
        self,
        dies_after: int,
        bundle_hash: str,
        aside_m: float = 0.0,
        warm_up_s: float = 0.0,
        warm_up_fails: bool = False,
    ) -> None:
        """`aside_m`, `warm_up_s`, `warm_up_fails`: see the options of these names."""
        self._warm_up_s, self._warm_up_fails = warm_up_s, warm_up_fails
        self._aside_m = aside_m
        self._second = SecondAnswers(self, DepthLimits()) if aside_m else None
        self._lock = threading.Lock()
        self._ego: EgoState | None = None
        self._route: Route | None = None
        self._front: CameraFrame | CompressedFrame | None = None
        self._planned = -1
        self._count = self._beats = 0
        self._dies_after, self._bundle_hash = dies_after, bundle_hash
        self._frozen: Plan | None = None
        self._stands = False
        self._last: Plan | None = None

    def warm_up(self) -> None:
        """Take the time that was asked for, or break."""
        time.sleep(self._warm_up_s)
        if self._warm_up_fails:
            raise EngineError("the stand-in planner: the engine does not run, as was asked")

    def receive(self, message: PlannerInput, now: Now) -> None:
        """Keep the newest."""
        with self._lock:
            if isinstance(message, EgoState):
                self._ego = message
            elif isinstance(message, Route):
                self._route = message
            elif isinstance(message, (CameraFrame, CompressedFrame)) and message.camera == FRONT:
                self._front = message
            elif isinstance(message, Supervision) and self._second is not None:
                self._second.observe(message, now)

    def plan_once(self, now: Now) -> Plan | None:
        """Straight on, once for every front picture."""
        while self._stands:
            time.sleep(HELD_S)
        with self._lock:
            front, ego, route = self._front, self._ego, self._route
        if front is None or ego is None or front.stamp_ns == self._planned:
            return None
        self._planned = front.stamp_ns
        self._count += 1
        if self._dies_after and self._count > self._dies_after:
            raise RuntimeError("the engine broke")
        if self._frozen is not None:
            return dataclasses.replace(self._frozen, plan_id=self._count)
        times = np.arange(1, STEPS * SUB_STEPS + 1) * STEP_S / SUB_STEPS
        fine = np.zeros((STEPS * SUB_STEPS, 3), np.float32)
        wanted_mps = ego.speed_mps if route is None else float(route.speed_limit_mps[0])
        fine[:, 0] = covered_m(ego.speed_mps, wanted_mps, times)
        self._last = Plan(
            plan_id=self._count,
            stamp_ns=front.stamp_ns,
            oldest_frame_stamp_ns=front.stamp_ns,
            step_s=STEP_S,
            poses=np.ascontiguousarray(fine[SUB_STEPS - 1 :: SUB_STEPS]),
            fine_poses=fine,
            action_tokens=tuple(range(STEPS)),
            depth=FAST,
            slow_probability=1.0 if self._second else 0.0,
            text="straight on",
            uncertainty=Uncertainty.sure(STEPS, 0.1),
            passes=PassCount(1, 1, STEPS),
            stage_ms={"decode": 0.1, "total": 0.1},
            bundle_hash=self._bundle_hash,
        )
        return self._last

    def pass_over(self) -> None:
        """Not on the newest picture."""
        with self._lock:
            if self._front is not None:
                self._planned = self._front.stamp_ns

    def second_answer(self, first: Plan, due_ns: int, clock: Clock, needed: Callable[[], bool]) -> Plan | None:
        """As the depth policy says, of a planner that is always in doubt."""
        tokens = 0 if self._second is None else self._second.room(first, due_ns, clock())
        if self._second is None or not tokens:
            return None
        self._count += 1
        return self._second.answer(first, self._count, tokens, clock, needed)

    def plan_further(self, first: Plan, plan_id: int, most_reasoning: int, cancelled: Callable[[], bool]) -> Plan:
        """The same motion, ever farther to the left."""
        fine = first.fine_poses.copy()
        fine[:, 1] += np.linspace(0.0, self._aside_m, len(fine) + 1, dtype=np.float32)[1:]
        poses = np.ascontiguousarray(fine[SUB_STEPS - 1 :: SUB_STEPS])
        return dataclasses.replace(first, plan_id=plan_id, depth=SLOW, fine_poses=fine, poses=poses, text="more left")

    def die(self) -> None:
        """Break at the next picture."""
        self._dies_after = 1

    def stand_still(self) -> None:
        """Never come back from the next pass."""
        self._stands = True

    def freeze(self) -> None:
        """Make the newest plan again and again, under new numbers."""
        self._frozen = self._last

    def heartbeat(self, now: Now) -> Heartbeat:
        """Count plans as work."""
        self._beats += 1
        return Heartbeat(PLANNER, os.getpid(), self._beats, now.stamp_ns, self._count, self._count, True, "stand-in")


def covered_m(speed_mps: float, wanted_mps: float, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Way (T,) on the way to a speed and then at it, m."""
    change_s = abs(wanted_mps - speed_mps) / CHANGE_MPS2
    changing = np.minimum(times_s, change_s)
    rate = math.copysign(CHANGE_MPS2, wanted_mps - speed_mps)
    return speed_mps * changing + rate * changing**2 / 2 + wanted_mps * (times_s - changing)


def hold_the_interpreter(held_s: int) -> None:
    """Sleep in a C call that does not give the interpreter's lock back: every thread of this process stands still."""
    ctypes.PyDLL(None).sleep(held_s)


ON_SIGNAL: dict[int, Callable[[], None]] = {}
"""What signals do to the newest body. Only the main thread may set handlers, and a body may be made on another one."""


def listen_to_signals() -> None:
    """Have signals break the planner, as soon as there is one."""
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGRTMIN, signal.SIGRTMIN + 1):
        signal.signal(number, lambda number, _frame: ON_SIGNAL.get(number, lambda: None)())


def planner_host(options: Mapping[str, OptionValue]) -> PlannerHost:
    """The stand-in in the real planner's host."""
    if options["broken"]:
        raise ConfigurationError("the stand-in planner was asked to be broken")
    while options["waits_for"] and not Path(str(options["waits_for"])).exists():
        time.sleep(LOOK_S)
    body = StraightBody(
        int(options["dies_after"]),
        str(options["bundle_hash"]),
        float(options["aside_m"]),
        float(options["warm_up_s"]),
        bool(options["warm_up_fails"]),
    )
    held_s = int(options["held_s"])
    ON_SIGNAL.update(
        {
            signal.SIGUSR1: lambda: hold_the_interpreter(held_s),
            signal.SIGUSR2: body.die,
            signal.SIGRTMIN: body.freeze,
            signal.SIGRTMIN + 1: body.stand_still,
        }
    )
    host = PlannerHost(
        body,
        float(options["plan_period_s"]),
        float(options["stuck_after_s"]),
        int(options["realtime_priority"]),
        float(options["silent_after_s"]),
    )
    host.warm_up()
    return host


ROLE = Role(
    PLANNER,
    (
        Option("dies_after", int, 0, "plans before the worker breaks, 0: never"),
        Option("bundle_hash", str, "stand-in", "core that plans claim to be of"),
        Option("aside_m", float, 0.0, "answer twice, slowly so far to the left after 5 s; 0: once", -9.0, 9.0, "m"),
        Option("plan_period_s", float, 0.05, "time between plans", 0.0, 5.0, "s", changeable=True),
        Option("held_s", int, HELD_S, "how long SIGUSR1 holds the interpreter's lock", 1, 3600, "s"),
        Option("silent_after_s", float, SILENT_AFTER_S, "as the planner's", 0.1, 60.0, "s"),
        Option("stuck_after_s", float, STUCK_AFTER_S, "as the planner's", 0.1, 120.0, "s"),
        Option("waits_for", str, "", "a file that must be there before it is built"),
        Option("warm_up_s", float, 0.0, "how long warming up takes", 0.0, 60.0, "s"),
        Option("warm_up_fails", bool, False, "break while warming up"),
        Option("broken", bool, False, "refuse to be built"),
        REALTIME_OPTION,
    ),
    planner_host,
)


def main() -> int:
    """Run over the transport named first."""
    transport, *arguments = sys.argv[1:]
    listen_to_signals()
    if transport == "zmq":
        from onboard_vla.hil.process import run

        return run(ROLE, arguments)
    from onboard_vla.ros_nodes.node_main import run_node

    return run_node(ROLE, arguments, lifecycle=True)


if __name__ == "__main__":
    sys.exit(main())
