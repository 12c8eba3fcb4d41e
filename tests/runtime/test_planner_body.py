"""The planner's process body: newest wins, progress is counted, and nothing that arrives can break it."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from onboard_vla.core.cameras import CameraFrame
from onboard_vla.core.clock import Now
from onboard_vla.core.ego import EgoState
from onboard_vla.core.errors import EngineError
from onboard_vla.core.plan import PlanRejection
from onboard_vla.core.road import KEEP_FORWARD, TURN_LEFT, Route, RouteCommand
from onboard_vla.runtime.anchor_pacing import AnchorPacing
from onboard_vla.runtime.ingest import CameraIngest
from onboard_vla.runtime.planner_body import PlannerBody

CAMERAS = ("front", "back")
PERIOD_NS = 100_000_000
NOW = Now(0, 0)
ROUTE = Route("r", np.array([[0.0, 0.0], [100.0, 0.0]]), np.full(2, 10.0), (RouteCommand(40.0, 60.0, TURN_LEFT),))


class Recorder:
    """Stands in for a planner: notes what it is asked and answers with a rejection."""

    def __init__(self):
        self.asked = []
        self.warmed = 0
        self.fail = False
        self.entered, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()

    def warm_up(self):
        self.warmed += 1

    def plan(self, frames, ego, command, plan_id):
        self.entered.set()
        assert self.go_on.wait(20)
        if self.fail:
            raise EngineError("the engine broke")
        self.asked.append((frames.stamp_ns, ego, command, plan_id))
        return PlanRejection(plan_id, frames.stamp_ns, "recorded", "")


@pytest.fixture
def planner():
    return Recorder()


@pytest.fixture
def body(planner):
    return PlannerBody(planner, CameraIngest(CAMERAS, 2, 0.5))


def ego(stamp_ns, x=0.0):
    return EgoState(stamp_ns, x, 0.0, 0.0, 5.0, 0.0, 0.0)


def picture():
    image = np.zeros((6, 8, 3), np.uint8)
    image.flags.writeable = False
    return image


def send(body, ticks, with_ego=True):
    for tick in ticks:
        for camera in CAMERAS:
            body.receive(CameraFrame(camera, tick * PERIOD_NS, tick, picture()), NOW)
        if with_ego:
            body.receive(ego(tick * PERIOD_NS, x=float(tick)), NOW)


def test_without_frames_there_is_nothing_to_plan_and_the_heartbeat_says_why(body, planner):
    assert body.plan_once(NOW) is None
    assert planner.asked == []
    assert "no_front front" in body.heartbeat(NOW).detail


def test_a_body_is_ready_once_it_is_warm(body, planner):
    assert not body.heartbeat(NOW).ready
    body.plan_once(NOW)
    body.plan_once(NOW)
    assert planner.warmed == 1
    assert body.heartbeat(NOW).ready


@pytest.mark.parametrize("lacking", ["ego", "route"])
def test_without_ego_or_route_there_is_no_plan(body, planner, lacking):
    send(body, range(11), with_ego=lacking != "ego")
    if lacking != "route":
        body.receive(ROUTE, NOW)
    assert body.plan_once(NOW) is None
    assert f"no {lacking}" in body.heartbeat(NOW).detail
    assert body.heartbeat(NOW).work_started == 0


def test_each_frame_set_is_planned_once_and_the_newest_wins(body, planner):
    body.receive(ROUTE, NOW)
    send(body, range(11))
    assert body.plan_once(NOW).stamp_ns == 10 * PERIOD_NS
    assert body.plan_once(NOW) is None
    send(body, (11, 12, 13))
    result = body.plan_once(NOW)
    assert (result.stamp_ns, result.plan_id) == (13 * PERIOD_NS, 2)
    assert [asked[0] for asked in planner.asked] == [10 * PERIOD_NS, 13 * PERIOD_NS]
    assert planner.asked[1][1].stamp_ns == 13 * PERIOD_NS


def test_pacing_is_told_how_long_a_plan_took(planner):
    pacing, took = AnchorPacing(0.5, 0.2), []
    pacing.took = took.append
    body = PlannerBody(planner, CameraIngest(CAMERAS, 2, 0.5), pacing=pacing)
    body.receive(ROUTE, NOW)
    send(body, range(11))
    planner.go_on.clear()
    worker = threading.Thread(target=body.plan_once, args=(NOW,))
    worker.start()
    assert planner.entered.wait(20)
    begin_s = time.monotonic()
    while time.monotonic() - begin_s < 0.01:
        pass
    planner.go_on.set()
    worker.join(20)

    assert len(took) == 1
    assert 0.01 <= took[0] < 20.0


def test_a_set_older_than_the_last_planned_one_is_not_planned(body, planner):
    body.receive(ROUTE, NOW)
    send(body, range(11))
    body.plan_once(NOW)
    for tick in (11, 12):
        body.receive(CameraFrame("front", tick * PERIOD_NS, tick, picture()), NOW)
    assert body.plan_once(NOW) is None


def test_pictures_that_were_passed_over_are_no_longer_planned_on_but_are_those_before_later_ones(body, planner):
    body.receive(ROUTE, NOW)
    body.pass_over()
    send(body, range(6))
    body.pass_over()
    assert body.plan_once(NOW) is None
    send(body, [6])
    assert body.plan_once(NOW).stamp_ns == 6 * PERIOD_NS


def test_the_command_is_that_of_the_routes_place(body, planner):
    body.receive(ROUTE, NOW)
    send(body, range(11))
    body.plan_once(NOW)
    body.receive(ego(10 * PERIOD_NS, x=50.0), NOW)
    send(body, (11,), with_ego=False)
    body.plan_once(NOW)
    assert [asked[2] for asked in planner.asked] == [KEEP_FORWARD, TURN_LEFT]


def test_an_older_ego_state_does_not_replace_a_newer_one(body, planner):
    body.receive(ROUTE, NOW)
    send(body, range(11))
    body.receive(ego(8 * PERIOD_NS, x=77.0), NOW)
    body.plan_once(NOW)
    assert planner.asked[0][1].x_m == 10.0


def test_an_ego_state_from_long_ago_is_a_rejection(body, planner):
    body.receive(ROUTE, NOW)
    body.receive(ego(0), NOW)
    send(body, range(11), with_ego=False)
    assert body.plan_once(NOW).code == "ego_stale"
    assert planner.asked == []


def test_heartbeats_count_work_that_began_and_work_that_ended(body, planner):
    body.receive(ROUTE, NOW)
    send(body, range(11))
    body.warm_up()
    planner.go_on.clear()
    worker = threading.Thread(target=body.plan_once, args=(NOW,))
    worker.start()
    assert planner.entered.wait(20)
    during = body.heartbeat(NOW)
    send(body, (11,))
    planner.go_on.set()
    worker.join(20)
    after = body.heartbeat(Now(5, 6))
    assert (during.work_started, during.work_done) == (1, 0)
    assert (after.work_started, after.work_done) == (1, 1)
    assert after.sequence == during.sequence + 1
    assert after.stamp_ns == 6
    assert after.process == "vla_planner"


@pytest.mark.parametrize(
    ("spoil", "code"),
    [("engine", "engine_failed"), ("route", "route_invalid"), ("position", "route_invalid")],
)
def test_what_breaks_while_planning_is_a_rejection_and_the_next_plan_works(body, planner, spoil, code):
    body.receive(ROUTE, NOW)
    send(body, range(11))
    if spoil == "engine":
        planner.fail = True
    elif spoil == "route":
        body.receive(Route("bad", np.zeros((1, 2)), np.zeros(1), ()), NOW)
    else:
        body.receive(ego(10 * PERIOD_NS, x=float("nan")), NOW)
    assert body.plan_once(NOW).code == code
    planner.fail = False
    body.receive(ROUTE, NOW)
    send(body, (11,))
    assert body.plan_once(NOW).code == "recorded"
    heartbeat = body.heartbeat(NOW)
    assert heartbeat.work_started == heartbeat.work_done == 2


def test_malformed_pictures_are_counted_and_named_and_break_nothing(body):
    body.receive(CameraFrame("front", 0, 0, np.zeros((6, 8), np.uint8)), NOW)
    assert body.refused_frames == 1
    assert "front: expected" in body.heartbeat(NOW).detail


def test_a_clock_that_is_set_back_is_followed(body, planner):
    body.receive(ROUTE, NOW)
    send(body, range(1000, 1011))
    body.plan_once(NOW)
    send(body, range(0, 20))
    assert body.plan_once(NOW).stamp_ns == 19 * PERIOD_NS


def test_receiving_from_many_threads_loses_nothing_that_counts(body, planner):
    body.receive(ROUTE, NOW)

    def send_camera(camera):
        for tick in range(200):
            body.receive(CameraFrame(camera, tick * PERIOD_NS, tick, picture()), NOW)
            body.receive(ego(tick * PERIOD_NS), NOW)

    threads = [threading.Thread(target=send_camera, args=(camera,)) for camera in CAMERAS * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert body.plan_once(NOW).stamp_ns == 199 * PERIOD_NS
