"""F25: configurations and thresholds that do not fit. Each must be refused at start-up, or keep the ladder at L2."""

from __future__ import annotations

import dataclasses
import json
import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from onboard_vla.app.campaign.episode import MONITOR_ON, StartKey, assemble, real_supervisor
from onboard_vla.app.campaign.situation import build_scene
from onboard_vla.app.closed_loop import STEP_NS
from onboard_vla.app.closed_loop_warmup import DEFAULT_WARMUP_NS, warm_up
from onboard_vla.app.faults import SECOND_NS
from onboard_vla.app.lockstep_parts import NO_BUNDLE, NO_PRECISION
from onboard_vla.app.straight_road.stand_in_bundle import write_stand_in_bundle
from onboard_vla.calibration.provisional import provisional_thresholds
from onboard_vla.core.bundle_manifest import computed_precision
from onboard_vla.core.clock import Now
from onboard_vla.core.conditions import OperatingConditions
from onboard_vla.core.errors import OnboardVlaError
from onboard_vla.core.road import Route
from onboard_vla.core.safe_trajectory import DriverState, Engagement, Mode, SafeTrajectory
from onboard_vla.core.thresholds import Thresholds
from onboard_vla.safety.config import VEHICLE_PROFILE, FreshnessLimits, SupervisorConfig
from onboard_vla.safety.inputs import InputMessage
from onboard_vla.safety.supervisor import Supervisor
from onboard_vla.safety.supervisor_host import supervisor_role

DRIVEN_NS = 4 * SECOND_NS


@dataclass(frozen=True)
class StartUp:
    """One start with something wrong. `held`: refused, or never below L2. `found`: the refusal, or the lowest mode."""

    variant: str
    held: bool
    found: str


def start_ups() -> list[StartUp]:
    """Try them all."""
    refusals: dict[str, Callable[[], object]] = {
        "thresholds of another core": lambda: _started(core="0" * 64),
        "thresholds of another precision": lambda: _started(precision="int8"),
        "thresholds file missing": lambda: _started(thresholds="/nonexistent/thresholds.json"),
        "thresholds without a bundle to hold them against": lambda: _started(bundle=""),
        "threshold nan": lambda: _loaded(value=math.nan),
        "threshold in another unit": lambda: _loaded(unit="km"),
        "threshold's direction turned round": lambda: _loaded(direction="sideways"),
        "limit nan": lambda: FreshnessLimits(ego_warn_s=math.nan),
        "limit in milliseconds instead of seconds": lambda: FreshnessLimits(ego_warn_s=100.0),
        "limits in the wrong order": lambda: SupervisorConfig(freshness=FreshnessLimits(ego_warn_s=0.3)),
        "unknown profile": lambda: SupervisorConfig(profile="race"),
        "front camera not expected": lambda: SupervisorConfig(cameras=("back",)),
    }
    found = [_fits(), *(_refusal(variant, attempt) for variant, attempt in refusals.items())]
    config = real_supervisor().config
    driven = {
        "no thresholds": dataclasses.replace(config, thresholds=None),
        "provisional thresholds on a vehicle": dataclasses.replace(config, profile=VEHICLE_PROFILE),
        "thresholds of another bundle than the plans'": dataclasses.replace(
            config, thresholds=provisional_thresholds("0" * 64, NO_PRECISION, created="campaign")
        ),
    }
    found += [_driven(variant, _Attended(settings)) for variant, settings in driven.items()]
    return [*found, _driven("route never sent", _WithoutRoute(config))]


class _WithoutRoute(Supervisor):
    """Its router died before it said anything."""

    def receive(self, message: InputMessage | OperatingConditions, now: Now) -> None:
        """Take whatever is no route."""
        if not isinstance(message, Route):
            super().receive(message, now)


class _Attended(Supervisor):
    """On a vehicle: it hears that the driver does not act."""

    def tick(self, now: Now) -> SafeTrajectory:
        """As before, and heard."""
        self.receive(DriverState(now.stamp_ns, False), now)
        return super().tick(now)


def _started(core: str = "", precision: str = "", **options: str) -> None:
    """Build the supervisor as its process does, over a bundle and thresholds of its own but for what is given."""
    role = supervisor_role(yaml.compose)
    with tempfile.TemporaryDirectory(prefix="ovla-") as folder:
        bundle, path = Path(folder) / "bundle", Path(folder) / "thresholds.json"
        manifest = write_stand_in_bundle(bundle)
        made_for = core or manifest.core_hash, precision or computed_precision(manifest)
        provisional_thresholds(*made_for, created="campaign").save(path)
        role.build(role.values({"thresholds": str(path), "bundle": str(bundle), **options}))


def _fits() -> StartUp:
    """The control: who refuses everything has shown nothing."""
    try:
        _started()
    except OnboardVlaError as error:
        return StartUp("thresholds and bundle that fit", False, f"refused: {error}")
    return StartUp("thresholds and bundle that fit", True, "accepted, as it must be")


def _refusal(variant: str, attempt: Callable[[], object]) -> StartUp:
    try:
        attempt()
    except (OnboardVlaError, OSError) as error:
        return StartUp(variant, True, f"refused: {' '.join(str(error).split())}")
    return StartUp(variant, False, "accepted")


def _driven(variant: str, supervisor: Supervisor) -> StartUp:
    """Engage it and see how far down the ladder it comes."""
    key = StartKey(15.0, 1, MONITOR_ON)
    scene, lead = build_scene(key.seed, key.speed_mps, "modelled")
    rig = assemble(scene, lead, supervisor)
    warm_up(rig.loop, DEFAULT_WARMUP_NS)
    rig.loop.engage()
    for _ in range(DRIVEN_NS // STEP_NS):
        rig.loop.step()
    modes = [p.mode for p in rig.recorder.stream.published if p.engagement == Engagement.ENGAGED.value]
    lowest = min(modes, default=int(Mode.STOPPED))
    words = f"lowest mode L{lowest}" if modes else "never engaged"
    return StartUp(variant, lowest >= Mode.FALLBACK, words)


def _thresholds() -> Thresholds:
    return provisional_thresholds(NO_BUNDLE, NO_PRECISION, created="campaign")


def _loaded(**spoiled: object) -> Thresholds:
    """A thresholds file whose first limit is spoiled, read back."""
    with tempfile.TemporaryDirectory(prefix="ovla-") as folder:
        path = Path(folder) / "thresholds.json"
        _thresholds().save(path)
        content = json.loads(path.read_text(encoding="utf-8"))
        content["limits"][0].update(spoiled)
        path.write_text(json.dumps(content), encoding="utf-8")
        return Thresholds.load(path)
