"""The whole supervisor under garbage: 10,000 cycles with plans near the limits, broken plans and broken messages.

The vehicle goes on steadily whatever is published, so that every plan can be judged by the oracle in closed form. It
obeys nobody, so the model is hardly ever given the wheel: what is judged is which plans the supervisor accepts.
"""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
import pytest

from onboard_vla.core.cameras import CAMERAS
from onboard_vla.core.clock import Now
from onboard_vla.core.objects import ObjectList
from onboard_vla.core.plan import Heartbeat, PlanRejection
from onboard_vla.core.road import Route
from onboard_vla.core.safe_trajectory import ENGAGE, REARM, DriverState, OperatorCommand
from onboard_vla.core.verdict import Verdict
from onboard_vla.safety.supervisor import Supervisor

from .driving_range import make_ego, simulation_config
from .fuzz_oracle import unsafe
from .fuzz_plans import NOW_NS, Scene, broken_plan, mild_plan, near_limit_plan, random_scene

TICK_NS = 20_000_000
PER_SCENE = 250
PLAN_AGE_S = 0.15
CALM_TICKS = 80
"""Before them all is well."""
CONFIG = simulation_config()
WRONG = (math.nan, math.inf, -math.inf, None, "x", 1e300, -(2**63), (), np.full((2, 2), math.nan), np.zeros(0))


def later(scene: Scene, time_s: float) -> Scene:
    """The same scene `time_s` on: the vehicle goes on, the objects too."""
    x, y, heading = scene.pose(time_s)
    moved = (replace(o, x_m=o.x_m + o.vx_mps * time_s, y_m=o.y_m + o.vy_mps * time_s) for o in scene.objects)
    return replace(scene, x=x, y=y, heading=heading, objects=tuple(moved))


def shifted(plan, by_ns: int):
    """A plan of NOW_NS moved to another instant; stamps of any size stay what they are."""
    if abs(plan.stamp_ns - NOW_NS) > 10**12:
        return plan
    return replace(plan, stamp_ns=plan.stamp_ns + by_ns, oldest_frame_stamp_ns=plan.oldest_frame_stamp_ns + by_ns)


def due(scene: Scene, tick: int, stamp: int) -> list:
    """What a healthy vehicle sends at this tick."""
    yaw = scene.curvature * scene.speed
    heading = math.remainder(scene.heading, 2 * math.pi)
    sent = [make_ego(stamp, x_m=scene.x, y_m=scene.y, heading_rad=heading, speed_mps=scene.speed, yaw_rate_rps=yaw)]
    if tick % 5 == 0:
        sent += [scene.lanes(stamp), ObjectList(stamp, scene.objects)]
        sent += [Verdict(camera, stamp, tick, True, (), "") for camera in CAMERAS]
    for number, process in enumerate(("vla_planner", "camera_guard")):
        sent.append(Heartbeat(process, 100 + number, tick + 1, stamp, tick, tick, True, ""))
    return sent


def spoiled(rng: np.random.Generator, message):
    """The message with one field that no sound sender would send; None where a receiver may well believe it.

    Finite numbers of any size are believed by design: a lone odometry cannot be told from a jump of its frame. So is an
    empty list of objects, and a driver's override of any kind.
    """
    name = str(rng.choice([field.name for field in fields(message)]))
    value = WRONG[rng.integers(len(WRONG))]
    if isinstance(value, (int, float)) and math.isfinite(value):
        return None
    if name in ("objects", "override", "signals", "commands") or isinstance(message, OperatorCommand):
        return None
    return replace(message, **{name: value})


def drive(rng: np.random.Generator, cycles: int) -> dict[str, int]:
    """One scene, one supervisor."""
    scene, supervisor = random_scene(rng), Supervisor(CONFIG)
    if rng.random() < 0.5:
        scene = replace(scene, objects=(), speed=min(scene.speed, 12.0), left=4.0, right=4.0)
    fuzzed = float(rng.choice([0.2, 0.8]))
    tally = dict.fromkeys(("cycles", "messages", "plans", "accepted"), 0)
    plans: dict[int, tuple] = {}
    ends = np.array([scene.lane_point(s, 0.0)[:2] for s in np.arange(-20.0, 400.0, 5.0)])
    route = Route("r", ends, np.full(len(ends), 30.0), ())
    for tick in range(cycles):
        here, stamp = later(scene, tick * 0.02), NOW_NS + tick * TICK_NS
        now = Now(stamp, stamp)
        sent = [route] if tick == 0 else []
        sent += due(here, tick, stamp)
        if tick % 5 == 2:
            kind = rng.random()
            maker = near_limit_plan if kind < fuzzed / 2 else broken_plan
            mild = tick < CALM_TICKS or kind > fuzzed
            plan = mild_plan(here, tick, PLAN_AGE_S) if mild else maker(rng, here, tick, PLAN_AGE_S)
            plans[tick] = plan, here
            sent.append(shifted(plan, tick * TICK_NS))
            if rng.random() < 0.05:
                sent.append(PlanRejection(tick, stamp, "FUZZ", "x" * int(rng.integers(0, 2000))))
        if rng.random() < 0.02:
            sent.append(OperatorCommand(stamp, str(rng.choice([ENGAGE, REARM, "disengage", "stop", "?"]))))
        if rng.random() < 0.002:
            sent.append(DriverState(stamp, True))
        if rng.random() < 0.05 or tick % 5 == 0:
            sent.append(DriverState(stamp, False))
        if tick == 55:
            sent.append(OperatorCommand(stamp, ENGAGE))
        if tick > CALM_TICKS and rng.random() < 0.3:
            bad = spoiled(rng, sent[rng.integers(len(sent))])
            if bad is not None:
                sent.insert(int(rng.integers(len(sent) + 1)), bad)
        for message in sent:
            supervisor.receive(message, now)
        published = supervisor.tick(now)
        tally["cycles"] += 1
        tally["messages"] += len(sent)
        check_output(published)
        tally["plans"] += tick in plans
        assert published.source != "model" or published.plan_id in plans
        accepted = supervisor._accepted
        if tick in plans and accepted is not None and accepted.plan_id == tick:
            tally["accepted"] += 1
            plan, seen = plans[tick]
            found = unsafe(plan, seen, CONFIG)
            assert not found, f"cycle {tick}: accepted although {', '.join(found)}: {seen}"
    return tally


def check_output(published) -> None:
    """Whatever came in: a finite, forward, bounded trajectory or none, finite figures, and no exception inside."""
    points = published.points
    assert points.shape in ((51, 6), (0, 6))
    assert np.isfinite(points).all()
    if len(points):
        assert points[0, 0] == 0.0
        assert (np.diff(points[:, 0]) > 0.0).all()
        assert (points[:, 4] >= 0.0).all()
        assert (np.abs(points[:, 5]) <= 6.5).all()
    for reason in published.reasons:
        assert reason.code != "INTERNAL_ERROR", reason
        assert math.isfinite(reason.measured)
        assert math.isfinite(reason.limit)


def fuzz(seed: int, scenes: int) -> dict[str, int]:
    rng = np.random.default_rng(seed)
    tallies = [drive(rng, PER_SCENE) for _ in range(scenes)]
    return {name: sum(tally[name] for tally in tallies) for name in tallies[0]}


def test_hundreds_of_cycles():
    tally = fuzz(3, 4)
    assert tally["accepted"] > 10


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ten_thousand_cycles():
    tally = fuzz(4, 10_000 // PER_SCENE)
    assert tally["cycles"] == 10_000
    assert tally["messages"] > 10_000
    assert tally["accepted"] > 200
