"""An executor for nodes whose timers and subscriptions stay what they are.

rclpy's gathers every entity of a node into a new wait set each time that it waits, makes a task of each callback, and
wakes itself once more after it. Here one wait set is filled again and again, and plain functions are called at once.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import Any

from rclpy.exceptions import InvalidHandle
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.waitable import NumberOfEntities

from onboard_vla.core.clock import nanoseconds
from onboard_vla.core.errors import ConfigurationError
from onboard_vla.core.refusals import log_event

LOOK_NS = nanoseconds(0.05)
"""How often services, clients and events of links are looked at: waiting for them would cost every message."""

CHOICE = "ONBOARD_VLA_EXECUTOR"
STEADY, OWN = "steady", "rclpy"
"""Values of the environment variable: the one here, or rclpy's own, which takes more processor time."""
BUILDS_ON = {
    "executor": ("_guard", "_sigint_gc", "_tasks", "_is_shutdown", "_context"),
    "WaitSet": ("clear_entities", "add_timer", "add_subscription", "add_guard_condition", "get_ready_entities", "wait"),
    "Timer": ("is_timer_ready", "call_timer"),
    "Subscription": ("take_message",),
}
"""What of rclpy's inside `SteadyExecutor` uses; tried with Jazzy and Kilted."""


def make_executor(**options: Any) -> SingleThreadedExecutor:  # noqa: ANN401 - the context, as rclpy has it
    """The one here, or rclpy's own: where it is asked for, or where this rclpy lacks what the first builds on.

    Raises:
        ConfigurationError: the environment variable has another value.
    """
    choice = os.environ.get(CHOICE, STEADY)
    if choice not in (STEADY, OWN):
        raise ConfigurationError(f"{CHOICE}={choice}: expected {STEADY} or {OWN}")
    executor = SteadyExecutor(**options) if choice == STEADY else SingleThreadedExecutor(**options)
    if choice == STEADY and (missing := lacking(executor)):
        executor.shutdown()
        log_event("executor", "rclpys_own_is_used", lacks=", ".join(missing))
        return SingleThreadedExecutor(**options)
    return executor


def lacking(executor: object) -> list[str]:
    """What this rclpy has not of `BUILDS_ON`."""
    owners = {name: executor if name == "executor" else getattr(rclpy_implementation, name, None) for name in BUILDS_ON}
    return [f"{name}.{part}" for name, parts in BUILDS_ON.items() for part in parts if not hasattr(owners[name], part)]


class SteadyExecutor(SingleThreadedExecutor):
    """Each round timers first, then one message of each subscription; their callbacks are plain functions.

    What is rare (services, clients, events of links, tasks) is left to rclpy's executor, which this one extends, and
    waits for up to `LOOK_NS`. No entity is destroyed while it is waited for: that happens before the next round, and
    until then none is called.
    """

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - the context, as rclpy has it
        super().__init__(**options)
        self._held: _Entities | None = None
        self._changed = False
        self._look_ns = 0

    def add_node(self, node: Node) -> bool:
        """Serve this node, too."""
        added = bool(super().add_node(node))
        self.wake()
        return added

    def remove_node(self, node: Node) -> None:
        """Serve this node no more."""
        super().remove_node(node)
        self.wake()

    def wake(self) -> None:
        """Entities were created or destroyed."""
        self._changed = True
        super().wake()

    def spin_once(self, timeout_sec: float | None = None) -> None:
        """Wait, for at most `LOOK_NS`, and call what is ready.

        Raises:
            ExternalShutdownException: the context was shut down.
        """
        if not self._context.ok():
            raise ExternalShutdownException
        if self._held is None or self._changed:
            self._changed = False
            self._release()
            self._held = _Entities(self.get_nodes(), (self._guard, self._sigint_gc), self._context)
        timeout_ns = LOOK_NS if timeout_sec is None else min(nanoseconds(timeout_sec), LOOK_NS)
        timers, subscriptions = self._held.wait(timeout_ns)
        if self._is_shutdown:
            return
        if not self._context.ok():
            raise ExternalShutdownException
        for timer in timers:
            if not self._changed and timer.handle.is_timer_ready():
                timer.handle.call_timer()
                timer.callback()
        for subscription in subscriptions:
            if not self._changed:
                taken = subscription.handle.take_message(subscription.msg_type, subscription.raw)
                if taken is not None:
                    subscription.callback(taken[0])
        if self._tasks or time.monotonic_ns() >= self._look_ns:
            self._look()

    def shutdown(self, timeout_sec: float | None = None) -> bool:
        """Let go of everything."""
        self._release()
        return bool(super().shutdown(timeout_sec))

    def _look(self) -> None:
        """Have rclpy serve what is rare, one callback at a time; there may be more."""
        if self._tasks or (not self._changed and self._held is not None and self._held.look()):
            super().spin_once(0.0)
        else:
            self._look_ns = time.monotonic_ns() + LOOK_NS

    def _release(self) -> None:
        if self._held is not None:
            self._held.release()
            self._held = None


class _Entities:
    """Everything that an executor waits for, kept from destruction until `release`."""

    def __init__(self, nodes: Iterable[Node], own_guards: Iterable[Any], context: Any) -> None:  # noqa: ANN401 - rclpy's
        nodes = list(nodes)
        self._pins = ExitStack()
        self._pins.enter_context(context.handle)
        self._timers = self._pinned(entity for node in nodes for entity in node.timers)
        self._subscriptions = self._pinned(entity for node in nodes for entity in node.subscriptions)
        self._guards = self._pinned(own_guards)
        sizes = len(self._subscriptions), len(self._guards), len(self._timers), 0, 0, 0
        self._often = rclpy_implementation.WaitSet(*sizes, context.handle)
        self._fill_often = (
            *self._filling(self._often.add_timer, self._timers.values()),
            *self._filling(self._often.add_subscription, self._subscriptions.values()),
            *self._filling(self._often.add_guard_condition, self._guards.values()),
        )
        services = self._pinned(entity for node in nodes for entity in node.services).values()
        clients = self._pinned(entity for node in nodes for entity in node.clients).values()
        self._node_guards = self._pinned(entity for node in nodes for entity in node.guards)
        self._waitables = [waitable for node in nodes for waitable in node.waitables if self._pin(waitable)]
        count = NumberOfEntities(0, len(self._node_guards), 0, len(clients), len(services))
        for waitable in self._waitables:
            count += waitable.get_num_entities()
        self._seldom = rclpy_implementation.WaitSet(
            count.num_subscriptions,
            count.num_guard_conditions,
            count.num_timers,
            count.num_clients,
            count.num_services,
            count.num_events,
            context.handle,
        )
        self._fill_seldom = (
            *self._filling(self._seldom.add_service, services),
            *self._filling(self._seldom.add_client, clients),
            *self._filling(self._seldom.add_guard_condition, self._node_guards.values()),
        )

    def wait(self, timeout_ns: int) -> tuple[Sequence[Any], Sequence[Any]]:
        """Until something that comes often is ready, or for so long; timers and subscriptions that are ready."""
        self._often.clear_entities()
        for add, handle in self._fill_often:
            add(handle)
        self._often.wait(timeout_ns)
        timers = [self._timers[found] for found in self._often.get_ready_entities("timer")]
        return timers, [self._subscriptions[found] for found in self._often.get_ready_entities("subscription")]

    def look(self) -> bool:
        """Whether anything of the rest is ready now."""
        if not (self._fill_seldom or self._waitables):
            return False
        self._seldom.clear_entities()
        for add, handle in self._fill_seldom:
            add(handle)
        for waitable in self._waitables:
            waitable.add_to_wait_set(self._seldom)
        self._seldom.wait(0)
        triggered = self._seldom.get_ready_entities("guard_condition")
        for guard in [self._node_guards[found] for found in triggered if found in self._node_guards]:
            # Waiting has taken the trigger back, and rclpy's executor looks here.
            guard._executor_triggered = True
        return bool(
            triggered
            or self._seldom.get_ready_entities("service")
            or self._seldom.get_ready_entities("client")
            or any(waitable.is_ready(self._seldom) for waitable in self._waitables)
        )

    def release(self) -> None:
        """What was to be destroyed meanwhile is destroyed now."""
        self._pins.close()

    def _filling(self, add: Callable[[Any], object], entities: Iterable[Any]) -> list[tuple[Any, Any]]:
        return [(add, entity.handle) for entity in entities]

    def _pinned(self, entities: Iterable[Any]) -> dict[int, Any]:
        """By the address that a wait set knows them by."""
        return {entity.handle.pointer: entity for entity in entities if entity is not None and self._pin(entity.handle)}

    def _pin(self, destroyable: Any) -> bool:  # noqa: ANN401 - a handle or a waitable
        try:
            self._pins.enter_context(destroyable)
        except InvalidHandle:
            return False
        return True
