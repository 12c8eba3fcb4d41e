"""Where a fault touches the chain: on messages between world, planner, camera guard and supervisor, and on its clock.

The processes under test never see a fault's name: a tamper changes, drops, delays or adds messages on their way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from onboard_vla.app.lockstep import LockstepProcesses, PlannerBodyLike, SupervisorLike
from onboard_vla.core.clock import Now
from onboard_vla.core.plan import Heartbeat, Plan
from onboard_vla.core.safe_trajectory import SafeTrajectory
from onboard_vla.core.wire import Message
from onboard_vla.safety.camera_guard import CameraGuard


@dataclass
class Memory:
    """What one injection remembers; fresh for every episode. `notes` is the change's own scratch space."""

    rng: np.random.Generator
    speed_mps: float
    onset_ns: int = 0
    notes: dict[str, Any] = field(default_factory=dict)


Change = Callable[[Any, Now, Memory], Sequence[Message]]
"""What becomes of a message while the fault is there: nothing (dropped), another one, several."""
Choice = Callable[[Message], bool]
INBOUND, TO_SUPERVISOR = "inbound", "to_supervisor"
"""Vehicle to all processes; planner and camera guard to supervisor."""


@dataclass(frozen=True)
class Tamper:
    """One way in which a message stream goes wrong.

    `delay_ns`: what passes is delivered this much later. `clock_ns`: added to the supervisor's data clock.
    `starve_ns`: the supervisor gets no processor time for this long, every `starve_every_ns`.
    `supervisor`: done once to the supervisor itself at the onset (F22: an exception planted in one of its modules);
    returns what undoes it.
    """

    where: str = INBOUND
    chosen: Choice = lambda message: False
    change: Change = lambda message, now, memory: (message,)
    delay_ns: int = 0
    clock_ns: int = 0
    starve_ns: int = 0
    starve_every_ns: int = 0
    supervisor: Callable[[Any], Callable[[], None]] | None = None


@dataclass
class Injection:
    """A tamper with its time. `first_effect_ns`: monotonic time of the first message (or tick) that it touched."""

    tamper: Tamper
    memory: Memory
    end_ns: int
    first_effect_ns: int | None = None
    effects: int = 0
    bad_plans: set[int] = field(default_factory=set)
    _held: list[tuple[int, str, Message]] = field(default_factory=list)
    _repair: Callable[[], None] | None = None

    def apply(self, where: str, message: Message, now: Now) -> Sequence[Message]:
        """What is delivered in place of this message."""
        tamper = self.tamper
        if where != tamper.where or not self.active(now) or not tamper.chosen(message):
            return (message,)
        if tamper.delay_ns:
            self._touch(now)
            self._held.append((now.monotonic_ns + tamper.delay_ns, where, message))
            return ()
        given = tamper.change(message, now, self.memory)
        if len(given) != 1 or given[0] is not message:
            self._touch(now)
            if where == TO_SUPERVISOR:
                self.bad_plans |= {m.plan_id for m in given if isinstance(m, Plan) and m is not message}
        return given

    def due(self, now: Now) -> list[tuple[str, Message]]:
        """Delayed messages whose time has come."""
        ready = [(where, message) for at, where, message in self._held if at <= now.monotonic_ns]
        self._held = [item for item in self._held if item[0] > now.monotonic_ns]
        return ready

    def active(self, now: Now) -> bool:
        """Whether the fault is there."""
        return self.memory.onset_ns <= now.monotonic_ns < self.end_ns

    def clock(self, now: Now) -> Now:
        """The clocks as the supervisor reads them."""
        if not self.tamper.clock_ns or not self.active(now):
            return now
        self._touch(now)
        return Now(now.monotonic_ns, now.stamp_ns + self.tamper.clock_ns)

    def starved(self, now: Now) -> bool:
        """Whether the supervisor gets no processor time at this tick."""
        if not self.tamper.starve_ns or not self.active(now):
            return False
        since = now.monotonic_ns - self.memory.onset_ns
        if self.tamper.starve_every_ns:
            since %= self.tamper.starve_every_ns
        starved = since < self.tamper.starve_ns
        if starved:
            self._touch(now)
        return starved

    def break_supervisor(self, supervisor: Any, now: Now) -> None:  # noqa: ANN401 - any supervisor under test
        """Plant what breaks in the supervisor itself, once, and take it out at the end."""
        if self.tamper.supervisor is not None and self.active(now) and self.first_effect_ns is None:
            self._touch(now)
            self._repair = self.tamper.supervisor(supervisor)
        elif self._repair is not None and not self.active(now):
            self._repair()
            self._repair = None

    def _touch(self, now: Now) -> None:
        self.effects += 1
        if self.first_effect_ns is None:
            self.first_effect_ns = now.monotonic_ns


class TamperedProcesses(LockstepProcesses):
    """Lock-step processes with an injection on their message streams."""

    def __init__(self, planner: Callable[[], PlannerBodyLike], supervisor: SupervisorLike, guard: CameraGuard) -> None:
        self.door = _Door(supervisor)
        super().__init__(planner, self.door, guard)

    def inject(self, injections: Sequence[Injection]) -> None:
        """From now on, these faults happen."""
        self.door.injections = tuple(injections)

    @property
    def stalled(self) -> bool:
        """Whether the supervisor got no processor time at the last step."""
        return self.door.stalled

    def advance(self, now: Now) -> None:
        """Deliver what was delayed, then advance."""
        for injection in self.door.injections:
            for where, message in injection.due(now):
                if where == INBOUND:
                    super().publish(message)
                else:
                    self.door.inner.receive(message, now)  # type: ignore[arg-type]
        super().advance(now)
        if self.door.stalled:
            self._outbox.pop()

    def publish(self, message: Message) -> None:
        """Deliver one message of the vehicle, or what the fault makes of it."""
        messages: Sequence[Message] = (message,)
        for injection in self.door.injections:
            messages = [given for m in messages for given in injection.apply(INBOUND, m, self._now)]
        for given in messages:
            super().publish(given)


class _Door:
    """The supervisor as its process would see the outside: what arrives has passed the injections."""

    def __init__(self, inner: SupervisorLike) -> None:
        self.inner = inner
        self.injections: tuple[Injection, ...] = ()
        self.stalled = False
        self._last: SafeTrajectory | None = None

    def receive(self, message: Any, now: Now) -> None:  # noqa: ANN401 - as SupervisorLike, and what no type allows
        messages: Sequence[Message] = (message,)
        if _from_processes(message):
            for injection in self.injections:
                messages = [given for m in messages for given in injection.apply(TO_SUPERVISOR, m, now)]
        for given in messages:
            self.inner.receive(given, self._clock(now))  # type: ignore[arg-type]

    def tick(self, now: Now) -> SafeTrajectory:
        for injection in self.injections:
            injection.break_supervisor(self.inner, now)
        self.stalled = self._last is not None and any([i.starved(now) for i in self.injections])
        if self.stalled and self._last is not None:
            return self._last
        self._last = self.inner.tick(self._clock(now))
        return self._last

    def _clock(self, now: Now) -> Now:
        for injection in self.injections:
            now = injection.clock(now)
        return now


def _from_processes(message: object) -> bool:
    from onboard_vla.core.plan import PlanRejection
    from onboard_vla.core.verdict import Verdict

    return isinstance(message, (Plan, PlanRejection, Heartbeat, Verdict))
