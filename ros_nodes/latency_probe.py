"""How old things are when they arrive: `python -m onboard_vla.ros_nodes.latency_probe --ros-args -p out:=latency.json`.

Listens to what planner and supervisor send and writes histograms in ms: from the oldest picture's stamp to the plan's
arrival and to the first safe trajectory made from that plan, and the gaps between messages. Ages compare stamps with
this machine's ROS time, so cameras must be stamped on the same clock; gaps are monotonic. With `use_sim_time` ages are
left out: /clock goes in steps as long as what would be measured.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from onboard_vla import __version__
from onboard_vla.core.clock import Now
from onboard_vla.core.errors import ConfigurationError
from onboard_vla.core.plan import Plan, PlanRejection
from onboard_vla.core.process import Option, OptionValue, Role
from onboard_vla.core.process_graph import VEHICLE
from onboard_vla.core.refusals import Refusals, log_event
from onboard_vla.core.safe_trajectory import SafeTrajectory
from onboard_vla.core.verdict import Verdict
from onboard_vla.core.whole_file import write_whole
from onboard_vla.core.wire import Message
from onboard_vla.ros_nodes.histogram import Histogram

if TYPE_CHECKING:
    from rclpy.node import Node

NAME = "latency_probe"
FORMAT = 2
"""Version of the file; names stay as they are within a version."""
MS = 1_000_000
PLANS_KEPT = 100
TO_TRAJECTORY = "pictures to trajectory"
AGES = ("pictures to plan", TO_TRAJECTORY, "picture to verdict", "trajectory age")
SIMULATED = "not measured: use_sim_time is set, and /clock goes in steps"
OPTIONS = (
    Option("out", str, "latency.json", "file that the histograms are written to"),
    Option("seconds", float, 0.0, "measure so long; 0: until told to end", 0.0, 1e6, "s"),
    Option("period_s", float, 5.0, "how often the file is brought up to date", 0.1, 3600.0, "s"),
)


def _build(options: Mapping[str, OptionValue]) -> NoReturn:
    raise ConfigurationError(f"{NAME} is a tool: it has no process host")


ROLE = Role(NAME, OPTIONS, _build)


class LatencyProbe:
    """Turns messages with their time of arrival into histograms; without ROS.

    `ages`: whether stamps and arrivals are on a clock that runs, so that ages mean something.
    """

    def __init__(self, ages: bool = True) -> None:
        self._ages = ages
        self.bundles: set[str] = set()
        self.config_hashes: set[str] = set()
        self.engagements: set[str] = set()
        self.histograms = {name: Histogram() for name in (*AGES, "gap between plans", "gap between trajectories")}
        self.rejections = 0
        self._oldest_ns: OrderedDict[int, int] = OrderedDict()
        self._early: OrderedDict[int, Now] = OrderedDict()
        self._newest_plan = -1
        self._last: dict[str, int] = {}

    def take(self, message: Message, now: Now) -> None:
        """A message that has just arrived."""
        if isinstance(message, Plan):
            self.bundles.add(message.bundle_hash)
            self._age("pictures to plan", message.oldest_frame_stamp_ns, now)
            self._gap("gap between plans", now)
            self._newest_plan = message.plan_id
            early = self._early.pop(message.plan_id, None)
            if early is not None:
                self._age("pictures to trajectory", message.oldest_frame_stamp_ns, early)
            else:
                _keep(self._oldest_ns, message.plan_id, message.oldest_frame_stamp_ns)
        elif isinstance(message, PlanRejection):
            self.rejections += 1
        elif isinstance(message, Verdict):
            self._age("picture to verdict", message.stamp_ns, now)
        elif isinstance(message, SafeTrajectory):
            self.config_hashes.add(message.config_hash)
            self.engagements.add(message.engagement.value)
            self._age("trajectory age", message.stamp_ns, now)
            self._gap("gap between trajectories", now)
            # Counted once: later trajectories of the same plan are older by intent.
            oldest_ns = self._oldest_ns.pop(message.plan_id, None)
            if oldest_ns is not None:
                self._age("pictures to trajectory", oldest_ns, now)
            elif message.plan_id > self._newest_plan:
                # It came on another topic than its plan, and was faster.
                _keep(self._early, message.plan_id, now)

    def summary(self) -> dict[str, Any]:
        """All histograms by name; one that is empty says why. What was measured: bundles, settings, engagement."""
        return {
            "unit": "ms",
            "ages": "ROS time at arrival minus stamp" if self._ages else SIMULATED,
            "bundles": sorted(self.bundles),
            "config_hashes": sorted(self.config_hashes),
            "engagements": sorted(self.engagements),
            "rejected plans": self.rejections,
            **{name: self._summary(name, histogram) for name, histogram in self.histograms.items()},
        }

    def _summary(self, name: str, histogram: Histogram) -> dict[str, Any]:
        found = histogram.summary()
        if found["n"]:
            return found
        if not self._ages and name in AGES:
            return {**found, "why": SIMULATED}
        if name == TO_TRAJECTORY and self.bundles:
            heard = " and ".join(sorted(self.engagements)) or "no safe trajectory heard"
            return {**found, "why": f"no safe trajectory was made from a plan ({heard})"}
        return {**found, "why": "too few messages"}

    def _age(self, name: str, stamp_ns: int, now: Now) -> None:
        if self._ages:
            self.histograms[name].add((now.stamp_ns - stamp_ns) / MS)

    def _gap(self, name: str, now: Now) -> None:
        last_ns = self._last.get(name)
        self._last[name] = now.monotonic_ns
        if last_ns is not None:
            self.histograms[name].add((now.monotonic_ns - last_ns) / MS)


def _keep(known: OrderedDict[int, Any], plan_id: int, value: object) -> None:
    """The first value of a plan; old plans are forgotten."""
    known.setdefault(plan_id, value)
    while len(known) > PLANS_KEPT:
        known.popitem(last=False)


def serve(node: Node, options: Mapping[str, OptionValue]) -> None:
    """Measure until the time is over or the node is told to end; the file is written either way."""
    import rclpy

    from onboard_vla.ros_nodes.ports import Subscriptions

    out, clock = Path(str(options["out"])).absolute(), node.get_clock()
    probe = LatencyProbe(ages=not node.get_parameter("use_sim_time").value)
    refusals = Refusals(NAME)

    def take(message: Message) -> None:
        probe.take(message, Now(time.monotonic_ns(), clock.now().nanoseconds))

    # As the vehicle hears the graph: every output of every process.
    subscriptions = Subscriptions(node, VEHICLE, take, refusals)
    begin = written = time.monotonic()
    log_event(NAME, "measuring", out=str(out))
    try:
        while not options["seconds"] or time.monotonic() - begin < float(options["seconds"]):
            rclpy.spin_once(node, timeout_sec=0.1)
            if not rclpy.ok():
                break
            if time.monotonic() - written >= float(options["period_s"]):
                written = time.monotonic()
                write(out, probe, written - begin)
    finally:
        write(out, probe, time.monotonic() - begin)
        log_event(NAME, "written", out=str(out))
        del subscriptions


def provenance() -> dict[str, Any]:
    """Where and by what was measured: a figure without its machine and that machine's load is none."""
    return {
        "onboard_vla": __version__,
        "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": f"{platform.node()}, {platform.machine()}, {os.cpu_count()} cores, {platform.release()}",
        "ros": f"{os.environ.get('ROS_DISTRO', 'unknown')}, {os.environ.get('RMW_IMPLEMENTATION', 'default rmw')}",
        "load_average": [round(value, 2) for value in os.getloadavg()],
    }


def write(path: Path, probe: LatencyProbe, measured_s: float) -> None:
    """Replace the file at once, so that a reader never sees half of it."""
    document = {"format": FORMAT, "measured_s": round(measured_s, 3), **provenance(), **probe.summary()}
    write_whole(path, json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    from onboard_vla.ros_nodes.tool_main import run_tool

    sys.exit(run_tool(ROLE, serve))
