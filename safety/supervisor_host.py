"""The supervisor process: takes in whatever comes, and publishes a safe trajectory at 50 Hz whatever happens."""

from __future__ import annotations

import dataclasses
import gc
import math
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from onboard_vla.core.bundle_manifest import computed_precision, load_manifest
from onboard_vla.core.clock import Now, system_now
from onboard_vla.core.errors import ConfigurationError
from onboard_vla.core.indicators import SafetyIndicators
from onboard_vla.core.process import Clock, Option, OptionValue, Publish, Role, Timer
from onboard_vla.core.process_graph import SUPERVISOR
from onboard_vla.core.realtime import REALTIME_OPTION, request_realtime
from onboard_vla.core.refusals import LOG, log_event
from onboard_vla.core.safe_trajectory import Engagement, Mode, SafeTrajectory
from onboard_vla.core.settings import SettingsRequest
from onboard_vla.core.supervision import Supervision
from onboard_vla.core.thresholds import Thresholds
from onboard_vla.core.verdict import Reason
from onboard_vla.core.wire import Message
from onboard_vla.safety.config import SIMULATION_PROFILE, SupervisorConfig
from onboard_vla.safety.config_file import CONFIG_OPTION, Compose, given_config
from onboard_vla.safety.driving_marker import DrivingMarker
from onboard_vla.safety.indicator_record import PERIOD_S, IndicatorRecord
from onboard_vla.safety.setting_options import setting_options, settings_of, with_settings
from onboard_vla.safety.settings_desk import SettingsDesk

TICK_PERIOD_S = 0.02
"""50 Hz: the vehicle gate stops the vehicle where no message comes for `core.vehicle_gate.SILENCE_LIMIT_NS`."""

SUPERVISOR_OPTIONS = (
    CONFIG_OPTION,
    Option(
        "profile",
        str,
        "",
        "`vehicle` or `simulation` (accepts provisional thresholds and unjudged bundles), over the configuration's",
    ),
    Option("thresholds", str, "", "thresholds file, over the configuration's; with none the ladder ends at FALLBACK"),
    Option("bundle", str, "", "bundle folder that the thresholds are held against (its manifest.json is read)"),
    Option("marker", str, "", "file that exists while the system drives; who finds it at its start comes back latched"),
    REALTIME_OPTION,
)


class SupervisorLike(Protocol):
    """What the host needs of `supervisor.Supervisor`."""

    def receive(self, message: Any, now: Now) -> None:  # noqa: ANN401 - the union of its inputs is the supervisor's
        """Take one input."""

    def tick(self, now: Now) -> SafeTrajectory:
        """Decide; never raises."""

    def indicators(self, now: Now) -> SafetyIndicators | None:
        """How near the drive is to what must not happen; None where that is not known."""

    @property
    def config(self) -> SupervisorConfig:
        """The settings in effect."""

    def reconfigure(self, config: SupervisorConfig, now: Now) -> Reason | None:
        """Take other settings; why not, or None."""


class SupervisorHost:
    """Runs a supervisor on one thread. The planner and all inputs are untrusted: no message can end this process.

    `settings`: answers requests for other settings; without it they are not listened to.
    """

    def __init__(
        self,
        supervisor: SupervisorLike,
        realtime_priority: int = 0,
        marker: DrivingMarker | None = None,
        settings: SettingsDesk | None = None,
    ) -> None:
        self._supervisor, self._priority, self._marker = supervisor, realtime_priority, marker
        self._marker_error = ""
        self._settings = settings
        self._indicators_failed = False
        self._record = IndicatorRecord()
        self._mode, self._config_hash = Mode.NOMINAL, ""
        self._publish: Publish | None = None
        self._clock: Clock = system_now
        self.refused = 0

    @property
    def timers(self) -> tuple[Timer, ...]:
        """The 50 Hz tick, and beside it the indicators."""
        return Timer(TICK_PERIOD_S, self._tick), Timer(PERIOD_S, self._indicate)

    def schedule(self) -> None:
        """For all threads: this process has one of its own."""
        request_realtime(SUPERVISOR, self._priority)

    def start(self, publish: Publish, clock: Clock) -> None:
        """Take the way out, and spare the collector everything that was made until now."""
        self._publish, self._clock = publish, clock
        gc.collect()
        gc.freeze()

    def receive(self, message: Message, now: Now) -> None:
        """Hand a message to the supervisor; if it cannot bear it, the message is dropped and named."""
        try:
            if isinstance(message, SettingsRequest):
                self._change_settings(message, now)
            else:
                self._supervisor.receive(message, now)
        except Exception:
            self.refused += 1
            if self.refused == 1:
                log_event(SUPERVISOR, "input_error", kind=type(message).__name__, error=traceback.format_exc())

    def settings(self) -> Mapping[str, OptionValue]:
        """The settings in effect."""
        return settings_of(self._supervisor.config)

    def change(self, values: Mapping[str, OptionValue]) -> str | None:
        """Start over with other settings, in standby and at standstill alone; why not, or None."""
        try:
            config = with_settings(self._supervisor.config, values)
        except ConfigurationError as error:
            return str(error)
        refused = self._supervisor.reconfigure(config, self._clock())
        return None if refused is None else f"{refused.code}: {refused.detail}"

    def failure(self) -> str | None:
        """There is no thread that could die alone."""
        return None

    def stop(self) -> bool:
        """There is no thread to end."""
        return True

    def _tick(self) -> None:
        if self._publish is None:
            return
        message = self._supervisor.tick(self._clock())
        if LOG.failed or self._marker_error:
            message = dataclasses.replace(message, reasons=(*message.reasons, *self._unwritten()))
        self._publish(message)
        if message.mode >= Mode.FALLBACK > self._mode and message.engagement is Engagement.ENGAGED:
            code = message.reasons[0].code if message.reasons else ""
            log_event(SUPERVISOR, "before_intervention", mode=message.mode.name, code=code, **self._record.worst())
        self._mode, self._config_hash = message.mode, message.config_hash
        if self._marker is None:
            return
        try:
            self._marker.note(message.engagement)
            self._marker_error = ""
        except OSError as error:
            if not self._marker_error:
                log_event(SUPERVISOR, "marker_failed", error=str(error))
            self._marker_error = str(error)

    def _unwritten(self) -> list[Reason]:
        """What could not be written, for whoever reads the published reasons; it asks for no other mode."""
        found = []
        if LOG.failed:
            found.append(Reason("LOG_FAILED", float(LOG.failed), 0.0, f"lines not written: {LOG.error}"))
        if self._marker_error:
            found.append(Reason("MARKER_FAILED", 1.0, 0.0, f"a restart would not know: {self._marker_error}"))
        return found

    def _indicate(self) -> None:
        """Publish and keep the indicators, and tell the planner; a fault of theirs is named once and ends nothing.

        Before the first tick there is no mode to tell.
        """
        if self._publish is None or not self._config_hash:
            return
        now = self._clock()
        try:
            found = self._supervisor.indicators(now)
        except Exception:
            if not self._indicators_failed:
                log_event(SUPERVISOR, "indicators_failed", error=traceback.format_exc())
            self._indicators_failed = True
            found = None
        time_to_brake_s = math.nan if found is None else found.time_to_brake_s
        self._publish(Supervision(now.stamp_ns, self._mode, time_to_brake_s, self._config_hash))
        if found is not None:
            self._record.add(found)
            self._publish(found)

    def _change_settings(self, request: SettingsRequest, now: Now) -> None:
        if self._settings is None or self._publish is None:
            return
        reply = self._settings.answer(request, now)
        log_event(
            SUPERVISOR,
            "settings_changed" if reply.accepted else "settings_refused",
            config_hash=reply.config_hash,
            reasons=[f"{reason.code}: {reason.detail}" for reason in reply.reasons],
        )
        self._publish(reply)


def supervisor_role(compose: Compose) -> Role:
    """The supervisor as a process; `compose` reads YAML, which this room does not import.

    Its `build` raises OnboardVlaError on settings or a thresholds file that are damaged or not acceptable.
    """

    def build(options: Mapping[str, OptionValue]) -> SupervisorHost:
        from onboard_vla.safety.supervisor import Supervisor

        path = str(options["marker"])
        marker = DrivingMarker(Path(path)) if path else None
        died_driving = marker is not None and marker.left_behind
        supervisor = Supervisor(supervisor_config(options, compose), died_driving=died_driving)
        log_event(
            SUPERVISOR,
            "configured",
            profile=supervisor.config.profile,
            config_hash=supervisor.config_hash,
            died_driving=died_driving,
        )
        desk = SettingsDesk(supervisor, compose)
        return SupervisorHost(supervisor, int(options["realtime_priority"]), marker, desk)

    return Role(SUPERVISOR, SUPERVISOR_OPTIONS, build, tuple(setting_options()))


def supervisor_config(options: Mapping[str, OptionValue], compose: Compose) -> SupervisorConfig:
    """The configuration that a supervisor with these options and settings has.

    Raises:
        OnboardVlaError: settings or a thresholds file are damaged or not acceptable.
    """
    config = given_config(options, compose)
    if profile := str(options["profile"]):
        config = dataclasses.replace(config, profile=profile)
    if thresholds := str(options["thresholds"]):
        config = dataclasses.replace(config, thresholds=Thresholds.load(Path(thresholds)))
    own = {option.name for option in SUPERVISOR_OPTIONS}
    config = with_settings(config, {name: value for name, value in options.items() if name not in own})
    if config.thresholds is not None:
        _require_bundle(config, config.thresholds, str(options["bundle"]))
    return config


def _require_bundle(config: SupervisorConfig, thresholds: Thresholds, bundle: str) -> None:
    """Refuse thresholds that were made for another core or precision than the planner's bundle has.

    On a vehicle, refuse a bundle that says of itself that nobody has judged it, too.
    """
    if not bundle:
        raise ConfigurationError(
            "bundle is not set: thresholds are bound to a bundle's core and precision; give its folder"
        )
    manifest = load_manifest(Path(bundle))
    thresholds.require_core(manifest.core_hash, computed_precision(manifest))
    if manifest.unjudged and config.profile != SIMULATION_PROFILE:
        raise ConfigurationError(
            f"bundle {bundle} is unjudged ({'; '.join(manifest.unjudged)}) and the profile is {config.profile}: export "
            "it with scenes of the deployment (docs/export.md), or take the profile simulation"
        )
