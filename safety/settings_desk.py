"""Changes of settings while the supervisor runs: in standby and at standstill, whole, never what a start decides.

A document is read as at the start, against the same tables. What stays as it was started: thresholds and profile, which
decide who may drive at all, and the camera guard's settings, which another process runs with.
"""

from __future__ import annotations

import dataclasses
from typing import Protocol

from onboard_vla.core.clock import Now
from onboard_vla.core.errors import OnboardVlaError
from onboard_vla.core.safe_trajectory import Engagement, OperatorCommand
from onboard_vla.core.settings import SettingsReply, SettingsRequest
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.config import SupervisorConfig
from onboard_vla.safety.config_file import Compose, config_hash, parse_config
from onboard_vla.safety.guards.orders import Orders
from onboard_vla.safety.ladder_state import LadderState

LONGEST = 128 * 1024
"""Characters of a document; the file with all defaults and their comments has half of that."""
FIXED = ("profile", "camera_guard")
REFUSED = "CONFIG_CHANGE_REFUSED"
WORDS = 300
"""Characters of an explanation."""


class Reconfigurable(Protocol):
    """What the desk needs of `supervisor.Supervisor`."""

    config: SupervisorConfig
    state: LadderState
    settings_orders: Orders
    """Which requests came before; restated with everything else when the data clock steps."""

    def reconfigure(self, config: SupervisorConfig, now: Now) -> Reason | None:
        """Take other settings; None when done, else why not."""


class SettingsDesk:
    """Answers requests; each once, in order, and none of long ago."""

    def __init__(self, supervisor: Reconfigurable, compose: Compose) -> None:
        self._supervisor, self._compose = supervisor, compose

    def answer(self, request: SettingsRequest, now: Now) -> SettingsReply:
        """Carry out a request, or say why not."""
        reason = self._refusal(request, now)
        effective = config_hash(self._supervisor.config)
        return SettingsReply(
            now.stamp_ns, request.stamp_ns, reason is None, effective, () if reason is None else (reason,)
        )

    def _refusal(self, request: SettingsRequest, now: Now) -> Reason | None:
        late = self._supervisor.settings_orders.refuse_command(OperatorCommand(request.stamp_ns, "settings"), now)
        if late is not None:
            return late
        supervisor = self._supervisor
        if supervisor.state.engagement is not Engagement.STANDBY:
            # Before anything is read: reading takes longer than a cycle, and somebody is being driven.
            return supervisor.reconfigure(supervisor.config, now)
        if len(request.document) > LONGEST:
            detail = "characters; a document of settings is shorter"
            return Reason(REFUSED, float(len(request.document)), float(LONGEST), detail)
        try:
            wanted, thresholds = parse_config(request.document, "settings", self._compose)
        except OnboardVlaError as error:
            return _refused(str(error))
        if thresholds:
            return _refused(f"thresholds: {thresholds!r} is named; they stay those of the process's start")
        for name in FIXED:
            if getattr(wanted, name) != getattr(supervisor.config, name):
                return _refused(f"{name}: differs from what is in effect; it changes with a new start alone")
        return supervisor.reconfigure(dataclasses.replace(wanted, thresholds=supervisor.config.thresholds), now)


def _refused(detail: str) -> Reason:
    return Reason(REFUSED, 1.0, 0.0, detail[:WORDS])
