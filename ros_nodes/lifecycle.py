"""The lifecycle of a node around a process host that can pause."""

from __future__ import annotations

import faulthandler
import functools
import traceback
from collections.abc import Callable
from typing import Any

from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from onboard_vla.core.errors import ConfigurationError, OnboardVlaError
from onboard_vla.core.process import OptionValue, Pausable, ProcessHost, Role
from onboard_vla.core.refusals import log_event
from onboard_vla.ros_nodes.checks import Check, Level
from onboard_vla.ros_nodes.hosting import Hosting
from onboard_vla.ros_nodes.loading import Loading

LOOK_S = 0.02
"""How often a node that starts by itself looks whether its host is there."""
UNCONFIGURED, FINALIZED = "unconfigured", "finalized"
Transition = Callable[[Any, LifecycleState], TransitionCallbackReturn]


def _said(transition: Transition) -> Transition:
    """What a transition raises is logged: rclpy turns it into ERROR without a word."""

    @functools.wraps(transition)
    def logged(node: Any, state: LifecycleState) -> TransitionCallbackReturn:  # noqa: ANN401 - the class below
        try:
            return transition(node, state)
        except Exception as error:
            node.problem = f"{transition.__name__}: {error!r}"
            log_event(node.get_name(), "transition_failed", name=transition.__name__, reason=traceback.format_exc())
            return TransitionCallbackReturn.ERROR

    return logged


class SafeLifecycleNode(LifecycleNode):
    """A lifecycle node that outlives requests for transitions that its state does not have.

    In rclpy before 8 (Humble, Jazzy) such a request, from anyone in the domain, raises out of `spin` and ends the
    process (ros2/rclpy#1209, repaired by #1319).
    """

    def _LifecycleNodeMixin__on_change_state(self, request: Any, response: Any) -> Any:  # noqa: ANN401, N802
        try:
            return super()._LifecycleNodeMixin__on_change_state(request, response)  # type: ignore[misc]
        except Exception as error:
            what = request.transition.label or request.transition.id
            self.get_logger().error(f"transition {what!r} is refused: {' '.join(str(error).split())}")
            response.success = False
            return response


class HostedLifecycleNode(SafeLifecycleNode):
    """Configuring builds the role's host, which is warm then, activating lets it work, cleaning up ends it.

    A host that cannot be built leaves the node unconfigured, with the reason in `problem`: it can be configured again
    once that is mended. `stuck`: a host's thread did not end; the process has to. A node that starts by itself has its
    host built on another thread, answers meanwhile, and refuses to be configured by others. One that does not is
    configured by a caller, who waits until it is built, and rclpy serves nobody else of the node then. Shut down, it is
    `finalized`, which no transition leads out of: the process has to end, so that it is started again.
    """

    def __init__(self, role: Role) -> None:
        super().__init__(role.name)
        self._role = role
        self._values: Callable[[], dict[str, OptionValue]] = dict
        self._hosting: Hosting | None = None
        self._loading: Loading | None = None
        self._looking: Any = None
        self.problem: str | None = None
        self.stuck = False

    def prepare(self, values: Callable[[], dict[str, OptionValue]], hosting: Hosting) -> None:
        """What transitions work with; before the first of them. `values`: of the options, as they are now."""
        self._values, self._hosting = values, hosting

    def start_by_itself(self) -> None:
        """Configure and activate, once the host is built; stops at the first step that fails."""
        assert self._hosting is not None
        values = self._values()
        self._loading = Loading(lambda: self._role.build(values))
        self._looking = self.create_timer(LOOK_S, self._go_on, clock=self._hosting.steady)

    @property
    def loading(self) -> bool:
        """Whether its host is being built on another thread."""
        return self._loading is not None and not self._loading.done

    @property
    def finalized(self) -> bool:
        """Whether it was shut down, by whomever."""
        return self.state == FINALIZED

    def _go_on(self) -> None:
        if self.loading:
            return
        self.destroy_timer(self._looking)
        # Whoever shut the node down or configured it in the same moment has it in hand.
        if self._loading is None or self.state != UNCONFIGURED:
            self._loading = None
        elif self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def checks(self) -> list[Check]:
        """The lifecycle's state, and why it is not another."""
        if self.state == "active":
            return [Check("lifecycle", Level.OK, self.state)]
        if self.finalized:
            words = f"{self.state}: it was shut down: its process ends, and is started again by its launcher"
            return [Check("lifecycle", Level.ERROR, words)]
        if self._loading is not None:
            return [Check("lifecycle", Level.WARN, f"{self.state}: engines load, for {self._loading.since_s:.0f} s")]
        if self.problem is not None:
            return [Check("lifecycle", Level.ERROR, f"{self.state}: {self.problem}: mend that, then configure again")]
        return [Check("lifecycle", Level.WARN, f"{self.state}: configure and activate it to have it plan")]

    @property
    def state(self) -> str:
        """The primary state's or transition's name."""
        return str(self._state_machine.current_state[1])

    @_said
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Build the host; it starts paused."""
        assert self._hosting is not None
        if self.loading:
            log_event(self._role.name, "transition_refused", name="configure", reason="engines load, to be configured")
            return TransitionCallbackReturn.FAILURE
        loaded, self._loading = self._loading, None
        # Loading engines may take longer than a live executor may be deaf.
        faulthandler.cancel_dump_traceback_later()
        try:
            host = self._role.build(self._values()) if loaded is None else loaded.host()
            _pausable(self._role, host).pause()
        except OnboardVlaError as error:
            self.problem = " ".join(str(error).split())
            log_event(self._role.name, "not_configured", reason=self.problem)
            return TransitionCallbackReturn.FAILURE
        self.problem = None
        self._hosting.open(host)
        log_event(self._role.name, "configured")
        return super().on_configure(state)

    @_said
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let the host work."""
        self._pausable().resume()
        return super().on_activate(state)

    @_said
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let it rest."""
        self._pausable().pause()
        return super().on_deactivate(state)

    @_said
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End it."""
        self._end_host()
        return super().on_cleanup(state)

    @_said
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End it for good."""
        self._end_host()
        return super().on_shutdown(state)

    @_said
    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """After an error of a transition: back to unconfigured."""
        self._end_host()
        return TransitionCallbackReturn.SUCCESS

    def _pausable(self) -> Pausable:
        assert self._hosting is not None
        assert self._hosting.host is not None
        return _pausable(self._role, self._hosting.host)

    def _end_host(self) -> None:
        if self._hosting is not None and not self._hosting.close():
            self.stuck = True


def _pausable(role: Role, host: ProcessHost) -> Pausable:
    if not isinstance(host, Pausable):
        raise ConfigurationError(f"{role.name} cannot pause: run it as a plain node")
    return host
