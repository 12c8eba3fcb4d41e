"""Plans on fewer pictures, by the real chain: those of a model that asks for no more, refused where it does ask."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from onboard_vla.core.bundle_manifest import FrameSelection
from onboard_vla.core.cameras import CameraFrame, FrameSet
from onboard_vla.core.clock import Now, system_now
from onboard_vla.core.ego import EgoState
from onboard_vla.core.plan import FAST, Plan, PlanRejection
from onboard_vla.core.road import Route
from onboard_vla.core.wire import encode
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.depth_policy import DepthLimits
from onboard_vla.runtime.ingest import CameraIngest
from onboard_vla.runtime.load_shedding import FULL, SAVING, LoadShedding
from onboard_vla.runtime.planner import Planner
from onboard_vla.runtime.planner_body import PlannerBody
from onboard_vla.runtime.planner_host import PLANNER_ROLE, PlannerHost, build_planner_host, say_what_does_nothing
from onboard_vla.runtime.planner_options import depth_limits

pytest.importorskip("torch")
MS = 1_000_000
EGO = EgoState(1500 * MS, 0.0, 0.0, 0.0, 8.0, 0.0, 0.0)
ROUTE = Route("r", np.array([[0.0, 0.0], [100.0, 0.0]]), np.full(2, 10.0), ())


@pytest.fixture(scope="module")
def bundle(bundles):
    return Bundle.open(bundles())


@pytest.fixture(scope="module")
def pictures(tiny):
    found = tiny.random_images(np.random.default_rng(1))
    for images in found.values():
        images.flags.writeable = False
    return found


def taking(bundle, per_camera, least):
    frames = FrameSelection(per_camera, 0.5, least)
    return dataclasses.replace(bundle, manifest=dataclasses.replace(bundle.manifest, frames=frames))


def newest(pictures, counts):
    """A frame set of the newest pictures, so many of each camera."""
    images = {camera: tuple(shot)[-count:] for (camera, shot), count in zip(pictures.items(), counts, strict=True)}
    stamps = {camera: (0, 500 * MS, 1000 * MS, 1500 * MS)[-len(shot) :] for camera, shot in images.items()}
    return FrameSet(1500 * MS, images, stamps)


def said(plan):
    assert isinstance(plan, Plan), plan
    return bytes(encode(dataclasses.replace(plan, stage_ms={})))


def test_a_plan_on_fewer_pictures_is_that_of_a_model_that_asks_for_no_more(bundle, pictures):
    few = newest(pictures, (2, 2))
    less = Planner(bundle).plan(few, EGO, "turn left", 1)
    assert said(less) == said(Planner(taking(bundle, 2, 2)).plan(few, EGO, "turn left", 1))
    assert said(less) != said(Planner(bundle).plan(newest(pictures, (4, 4)), EGO, "turn left", 1))


@pytest.mark.parametrize("counts", [(1, 1), (3, 3), (2, 4), (4, 2)])
def test_other_numbers_of_pictures_are_refused(bundle, pictures, counts):
    result = Planner(bundle).plan(newest(pictures, counts), EGO, "turn left", 1)
    assert result.code == "frames_invalid"


def test_a_bundle_that_was_not_trained_for_it_refuses_fewer_pictures(bundle, pictures):
    result = Planner(taking(bundle, 4, 4)).plan(newest(pictures, (2, 2)), EGO, "turn left", 1)
    assert (result.code, "expected 4 pictures" in result.detail) == ("frames_invalid", True)


def test_after_plans_on_fewer_pictures_whole_ones_are_as_before(bundle, pictures):
    planner = Planner(bundle)
    whole = planner.plan(newest(pictures, (4, 4)), EGO, "turn left", 1)
    planner.plan(newest(pictures, (2, 2)), EGO, "turn left", 2)
    again = planner.plan(newest(pictures, (4, 4)), EGO, "turn left", 1)
    assert again.action_tokens == whole.action_tokens
    np.testing.assert_array_equal(again.uncertainty.spread_m, whole.uncertainty.spread_m)


@pytest.fixture
def running(bundle, pictures):
    """A body, its shedding, a way to make it plan, and the depths that it asked for."""
    shedding = LoadShedding(bundle.manifest, 60.0, FULL, thinks=True, by_time=True)
    planner = Planner(bundle)
    plain, depths = planner.plan, []

    def noting(*inputs, depth=None):
        depths.append(depth)
        return plain(*inputs, depth=depth)

    planner.plan = noting
    planner.warm_up = lambda: None
    body = PlannerBody(planner, CameraIngest(bundle.cameras, 4, 0.5), shedding=shedding)
    body.receive(ROUTE, Now(0, 0))
    body.warm_up()
    ticks = iter(range(100))

    def plan():
        first_ns = next(ticks) * 100 * MS
        for place in range(4):
            for camera, shot in pictures.items():
                body.receive(CameraFrame(camera, first_ns + place * 500 * MS, 0, shot[place]), Now(0, 0))
        body.receive(dataclasses.replace(EGO, stamp_ns=first_ns + 1500 * MS), Now(0, 0))
        return body.plan_once(Now(0, first_ns))

    return body, shedding, plan, depths


def test_every_plan_says_what_it_went_without_and_the_power_mode_acts_at_the_next_one(running):
    body, shedding, plan, depths = running
    host = PlannerHost(body, 60.0, shedding=shedding)
    assert plan().shed == ()
    assert host.change({"load.power_mode": SAVING}) is None
    assert plan().shed == ("history", "depth")
    assert depths == [None, FAST]
    assert host.change({"load.power_mode": FULL, "plan_period_s": 1e-6}) is None
    first = ("history",)
    assert [plan().shed for _ in range(5)] == [(), (), first, first, (*first, "depth")]


def test_the_period_that_counts_is_the_present_one(running):
    _, shedding, plan, _ = running
    assert [plan().shed for _ in range(3)] == [()] * 3
    shedding.period_s = 1e-6
    plan()
    plan()
    assert plan().shed == ("history",)


def test_late_refusals_are_late_plans_and_quick_ones_say_nothing(running, monkeypatch):
    body, shedding, plan, _ = running
    made = body._planner.plan
    monkeypatch.setattr(body._planner, "plan", lambda *_, **__: PlanRejection(1, 0, "nan_logits", "as it happens"))
    for period_s, left_out in ((60.0, ()), (1e-9, ("history",))):
        shedding.period_s = period_s
        assert [plan().code for _ in range(2)] == ["nan_logits"] * 2
        assert shedding.left_out == left_out
    monkeypatch.setattr(body._planner, "plan", made)
    assert plan().shed == ("history",)


def test_the_planner_process_is_built_as_its_options_say(bundle):
    given = {"bundle": str(bundle.path), "depth.policy": "adaptive", "depth.least_tokens": 4, "depth.rest_s": 2.5}
    values = PLANNER_ROLE.values({**given, "load.power_mode": SAVING})
    assert depth_limits(values) == DepthLimits(least_tokens=4, rest_s=2.5)
    assert depth_limits(PLANNER_ROLE.values({"bundle": "b"})) == DepthLimits()

    body = build_planner_host(values)._body
    assert body.heartbeat(Now(0, 0)).detail.endswith(
        "second answers: 0 answered, 0 abandoned, 0 refused; last plan: none yet"
    )
    assert body._shedding.left_out == ("history", "depth")
    for policy, depth in (("always_slow", "slow"), ("model", "model")):
        host = build_planner_host(
            PLANNER_ROLE.values({"bundle": str(bundle.path), "depth.policy": policy, "cameras.sizes": "40x30"})
        )
        alone = host._body
        assert set(alone._ingest._sizes.values()) == {(40, 30)}
        assert alone._second is None
        assert (alone._planner.depth, alone._shedding.steps) == (depth, ("history", "depth"))
        host.change({"plan_period_s": 0.7})
        assert alone._first.period_s == 0.7
        host.start(lambda message: None, system_now)
        assert not alone._first.ending()
        host.pause()
        assert alone._first.ending()
        host.resume()
        assert host.stop()
        assert alone._first.ending()


@pytest.mark.parametrize(
    ("options", "events"),
    [
        ({}, []),
        ({"load.power_mode": SAVING}, []),
        ({"engines": "somewhere"}, ["engines_not_used"]),
        ({"unjudged_engines": True}, ["engines_not_used"]),
    ],
)
def test_options_that_do_nothing_here_are_said_at_start(bundle, capsys, options, events):
    build_planner_host(PLANNER_ROLE.values({"bundle": str(bundle.path), **options}))
    said = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in said if line["event"] != "bundle_unjudged"] == events


@pytest.mark.parametrize(
    ("power", "by_time", "thinks", "is_said"),
    [(SAVING, False, False, True), (FULL, True, False, True), (FULL, False, False, False), (SAVING, True, True, False)],
)
def test_load_shedding_that_can_leave_nothing_out_is_said_at_start(bundle, capsys, power, by_time, thinks, is_said):
    say_what_does_nothing(
        PLANNER_ROLE.values({"bundle": "b", "load.power_mode": power, "load.shed_when_late": by_time}),
        LoadShedding(taking(bundle, 4, 4).manifest, 0.2, power, thinks=thinks, by_time=by_time),
    )
    said = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["event"], line["power_mode"]) for line in said] == [("nothing_to_leave_out", power)] * is_said
