"""Planner, camera guard and supervisor for a lock-step run, as fresh as their processes would be."""

from __future__ import annotations

import dataclasses

from onboard_vla.app.closed_loop import Scene
from onboard_vla.app.demo_bundle import PreparedBundle
from onboard_vla.app.lockstep import DECLARED_PASS_S, BodyFactory
from onboard_vla.app.lockstep_planners import constant_velocity_body, expert_body
from onboard_vla.app.simulated_vehicle import SIMULATED_VEHICLE
from onboard_vla.calibration.provisional import provisional_thresholds
from onboard_vla.core.errors import ArgumentError
from onboard_vla.core.plan import FAST
from onboard_vla.core.thresholds import Thresholds
from onboard_vla.runtime.depth_policy import ADAPTIVE, DepthLimits
from onboard_vla.safety.camera_guard import CameraGuard
from onboard_vla.safety.config_file import config_hash
from onboard_vla.safety.supervisor import Supervisor

MODEL, CONSTANT_VELOCITY, EXPERT = "model", "constant_velocity", "expert"
PLANNERS = (MODEL, CONSTANT_VELOCITY, EXPERT)
UNDATED = "1970-01-01T00:00:00Z"
"""Date of thresholds that are made anew for each run: equal settings have equal hashes."""
NO_BUNDLE, NO_PRECISION = "without-bundle", "none"
"""What plans and thresholds are bound to when no bundle makes the plans."""


def make_supervisor(thresholds: Thresholds) -> Supervisor:
    """As the supervisor process of the demo makes it."""
    return Supervisor(dataclasses.replace(SIMULATED_VEHICLE, thresholds=thresholds))


def make_guard() -> CameraGuard:
    """As the camera-guard process of the demo makes it."""
    return CameraGuard(SIMULATED_VEHICLE.camera_guard, config_hash(SIMULATED_VEHICLE))


def planner_without_model(name: str) -> tuple[BodyFactory, Thresholds]:
    """A geometric planner and thresholds that fit it.

    Raises:
        ArgumentError: no such planner.
    """
    factories = {CONSTANT_VELOCITY: constant_velocity_body, EXPERT: expert_body}
    if name not in factories:
        raise ArgumentError(f"planner {name!r}: expected one of {', '.join(PLANNERS)}")
    return factories[name](NO_BUNDLE), provisional_thresholds(NO_BUNDLE, NO_PRECISION, UNDATED)


def planner_with_model(prepared: PreparedBundle, depth: str = FAST) -> tuple[BodyFactory, Thresholds]:
    """The bundle's planner and its thresholds; each call of the factory loads the engines again.

    `depth`: of every plan, see runtime.decoding; or `adaptive`, see runtime.depth_policy.

    Raises:
        BundleError: the bundle is damaged, or the thresholds are for another core or precision.
    """
    from onboard_vla.runtime.bundle import Bundle
    from onboard_vla.runtime.camera_shapes import stated_sizes
    from onboard_vla.runtime.ingest import CameraIngest
    from onboard_vla.runtime.planner import Planner
    from onboard_vla.runtime.planner_body import PlannerBody
    from onboard_vla.runtime.second_answers import SecondAnswers

    bundle = Bundle.open(prepared.path)
    frames = bundle.manifest.frames

    def make(scene: Scene) -> PlannerBody:
        sizes = stated_sizes(bundle.manifest.cameras)
        ingest = CameraIngest(bundle.cameras, frames.per_camera, frames.spacing_s, sizes=sizes)
        if depth != ADAPTIVE:
            return PlannerBody(Planner(bundle, depth=depth), ingest)
        planner = Planner(bundle)
        return PlannerBody(planner, ingest, second=SecondAnswers(planner, DepthLimits(), DECLARED_PASS_S))

    thresholds = Thresholds.load(prepared.thresholds)
    thresholds.require_core(bundle.core_hash, bundle.precision)
    return make, thresholds
