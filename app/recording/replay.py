"""A recording again, in lock-step: the same bodies get the same messages at the same virtual times.

What then differs is a difference of code, bundle, settings or machine. Compared are messages as they come out of ROS's
types, to the bit; plans without their wall times, heartbeats not at all. Only a recording made in virtual time can be
repeated so: in real time, who was asked when depends on the machine.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from onboard_vla.app.closed_loop import STEP_NS
from onboard_vla.app.lockstep import DEFAULT_PLAN_LATENCY_NS, LockstepProcesses, PlannerBodyLike
from onboard_vla.app.lockstep_parts import make_guard, make_supervisor
from onboard_vla.app.recording.world import said_on
from onboard_vla.core.clock import Now, seconds
from onboard_vla.core.errors import ConfigurationError
from onboard_vla.core.plan import Plan, PlanRejection
from onboard_vla.core.process_graph import VEHICLE
from onboard_vla.core.safe_trajectory import SafeTrajectory
from onboard_vla.core.thresholds import Thresholds
from onboard_vla.core.verdict import Verdict
from onboard_vla.core.wire import Message, encode
from onboard_vla.ros_nodes.bag_messages import MessageReader, Told, as_recorded

COMPARED = (Plan, PlanRejection, Verdict, SafeTrajectory)
KEPT_DIFFERENCES = 10


@dataclass
class Comparison:
    """What the replay said against what was recorded. `equal`, `missing`, `extra`: messages by kind."""

    equal: Counter[str] = field(default_factory=Counter)
    differs: Counter[str] = field(default_factory=Counter)
    first_differences: list[str] = field(default_factory=list)

    @property
    def same(self) -> bool:
        """Whether all that was recorded came again, and nothing else."""
        return not self.differs and sum(self.equal.values()) > 0

    def note(self, kind: str, time_s: float, what: str) -> None:
        """Count a difference."""
        self.differs[kind] += 1
        if len(self.first_differences) < KEPT_DIFFERENCES:
            self.first_differences.append(f"{time_s:.3f} s: {kind} {what}")


def replay_in_lockstep(
    path: Path,
    planner: Callable[[], PlannerBodyLike],
    thresholds: Thresholds,
    progress: Callable[[float], None] | None = None,
) -> Comparison:
    """Feed a recording of `record_world` to fresh bodies and compare what they say.

    Raises:
        ConfigurationError: no such recording, or it was not made in virtual time.
    """
    reader = MessageReader(path)
    processes = LockstepProcesses(planner, make_supervisor(thresholds), make_guard())
    processes.set_latency(DEFAULT_PLAN_LATENCY_NS)
    comparison = Comparison()
    first_ns, last_ns = reader.bag.span_ns
    try:
        for time_ns, group in groupby(reader.messages(), lambda told: told.time_ns):
            if (time_ns - first_ns) % STEP_NS:
                raise ConfigurationError(
                    f"{path} has a message {seconds(time_ns - first_ns):.6f} s from its beginning, between two steps: "
                    "only a recording made by `onboard-vla record --world` can be replayed in lock-step"
                )
            _step(processes, Now(time_ns - first_ns, time_ns), group, comparison)
            if progress is not None:
                progress((time_ns - first_ns) / max(last_ns - first_ns, 1))
    finally:
        reader.close()
    return comparison


def _step(processes: LockstepProcesses, now: Now, group: Iterable[Told], comparison: Comparison) -> None:
    told = list(group)
    processes.advance(now)
    for recorded in told:
        if recorded.topic.sender == VEHICLE:
            processes.publish(recorded.message)
    said = [message for message, _ in processes.poll() if isinstance(message, COMPARED)]
    _name_settings(told, said, comparison)
    found = [comparable(as_recorded(said_on(message), message)) for message in said]
    for recorded in told:
        if isinstance(recorded.message, COMPARED):
            kind = type(recorded.message).__name__
            try:
                found.remove(comparable(recorded.message))
                comparison.equal[kind] += 1
            except ValueError:
                comparison.note(kind, seconds(now.monotonic_ns), "was recorded and did not come again so")
    for kind, _ in found:
        comparison.note(kind, seconds(now.monotonic_ns), "came and was not recorded so")


def _name_settings(told: list[Told], said: Sequence[Message], comparison: Comparison) -> None:
    """Other settings make every trajectory differ: better said once than found out."""
    recorded = {t.message.config_hash for t in told if isinstance(t.message, SafeTrajectory)}
    present = {message.config_hash for message in said if isinstance(message, SafeTrajectory)}
    if recorded != present and not comparison.differs:
        first, second = (", ".join(sorted(hashes))[:12] or "none" for hashes in (recorded, present))
        comparison.first_differences.append(
            f"settings of the supervisor: recorded with {first}, replayed with {second}"
        )


def comparable(message: Message) -> tuple[str, bytes]:
    """Kind and bytes of a message, without what depends on the machine's speed."""
    if isinstance(message, Plan):
        message = dataclasses.replace(message, stage_ms={})
    return type(message).__name__, encode(message)
