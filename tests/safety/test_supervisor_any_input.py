"""Whatever comes in: where the frame lies changes nothing, and bad, late or missing inputs never lower the mode."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onboard_vla.core.clock import Now
from onboard_vla.core.conditions import OperatingConditions
from onboard_vla.core.ego import EgoState
from onboard_vla.core.geometry import compose
from onboard_vla.core.objects import ObjectList
from onboard_vla.core.plan import Heartbeat, Plan
from onboard_vla.core.road import LaneObservation, Route
from onboard_vla.core.safe_trajectory import Engagement, Mode
from onboard_vla.core.verdict import Verdict
from onboard_vla.safety.config import LadderSettings
from onboard_vla.safety.supervisor import Supervisor

from .driving_range import DECLARED, Mover, Range, codes, make_object, simulation_config

QUICK = LadderSettings(clear_s=0.5, dwell_s=0.4, handback_clear_s=0.4, shadow_passes=3)


def turned_message(message, frame):
    """The same message seen from an odometry frame whose origin lies elsewhere."""

    def points(xy):
        return compose(frame, np.column_stack([xy, np.zeros(len(xy))]))[:, :2]

    c, s = math.cos(frame[2]), math.sin(frame[2])
    if isinstance(message, EgoState):
        x, y, h = compose(frame, np.array([message.x_m, message.y_m, message.heading_rad]))
        return replace(message, x_m=float(x), y_m=float(y), heading_rad=float(h))
    if isinstance(message, LaneObservation):
        return replace(message, centreline=points(message.centreline))
    if isinstance(message, Route):
        return replace(message, points=points(message.points))
    if isinstance(message, ObjectList):
        rows = []
        for o in message.objects:
            x, y, h = compose(frame, np.array([o.x_m, o.y_m, o.heading_rad]))
            rows.append(replace(o, x_m=float(x), y_m=float(y), heading_rad=float(h), vx_mps=c * o.vx_mps - s * o.vy_mps,
                                vy_mps=s * o.vx_mps + c * o.vy_mps))  # fmt: skip
        return replace(message, objects=tuple(rows))
    return message


@pytest.mark.parametrize("frame", [(500.0, -300.0, 1.0), (-20.0, 5.0, 3.0), (0.0, 0.0, -1.6)])
def test_where_the_odometry_frame_lies_changes_nothing(frame):
    frame = np.array(frame)
    drive = Range(simulation_config(ladder=QUICK), speed=8.0)
    other = Supervisor(drive.config)
    drive.movers = [Mover(60.0, 0.0, 5.0), Mover(50.0, -4.0, 0.0, 0.4, "pedestrian", 0.5, 0.5)]
    receive = drive.supervisor.receive

    def both(message, now):
        receive(message, now)
        other.receive(turned_message(message, frame), now)

    drive.supervisor.receive = both
    for k in range(250):
        if k == 30:
            drive.command("engage")
        drive.bad_cameras = {"front"} if 150 < k < 180 else set()
        here = drive.step()
        there = other.tick(Now(here.stamp_ns, here.stamp_ns))
        assert (here.mode, here.engagement, here.source, codes(here)) == (
            there.mode, there.engagement, there.source, codes(there))  # fmt: skip
        if len(here.points):
            moved = compose(frame, here.points[:, 1:4])
            assert there.points[:, 1:3] == pytest.approx(moved[:, :2], abs=1e-5)
            assert there.points[:, 4:] == pytest.approx(here.points[:, 4:], abs=1e-5)


BAD = st.sampled_from([math.nan, math.inf, -math.inf])
TOPIC_FIELDS = {
    EgoState: ["x_m", "y_m", "heading_rad", "speed_mps", "acceleration_mps2", "yaw_rate_rps"],
    LaneObservation: ["centreline", "left_m", "right_m", "speed_limit_mps", "lane_width_m"],
    Plan: ["poses", "fine_poses", "step_s"],
    ObjectList: ["x_m", "y_m", "heading_rad", "vx_mps", "vy_mps", "length_m", "width_m"],
}
CORRUPTIONS = [(kind, name) for kind, names in TOPIC_FIELDS.items() for name in names]


def corrupt(message, name, value, index):
    if isinstance(message, ObjectList):
        return replace(message, objects=(replace(make_object(30.0, 0.0), **{name: value}),))
    old = getattr(message, name)
    if isinstance(old, np.ndarray):
        changed = old.copy()
        changed.flat[index % changed.size] = value
        return replace(message, **{name: changed})
    return replace(message, **{name: value})


CONFIG = simulation_config(ladder=QUICK, odd=DECLARED)
RECORDED_S = 4.0
REPORTED = ("PLAN_REPLAYED",)
"""Reasons that are told and ask for nothing."""


class TestAnyBadInput:
    @pytest.fixture(scope="class")
    @staticmethod
    def recorded():
        """Messages of some nominal seconds with their times, to be replayed into fresh supervisors."""
        drive = Range(CONFIG, speed=8.0)
        drive.limit_mps = drive.plan_speed = 8.0
        log, receive = [], drive.supervisor.receive

        def record(message, now):
            log.append((drive.tick, message))
            receive(message, now)

        drive.supervisor.receive = record
        drive.engage(0.7)
        drive.run(RECORDED_S - 0.7)
        return log

    def replay(self, log, edit):
        supervisor, last, out = Supervisor(CONFIG), -1, []
        for tick, message in [*log, (max(t for t, _ in log) + 1, None)]:
            while last < tick - 1:
                last += 1
                now = Now(10**10 + last * 20_000_000, 10**10 + last * 20_000_000)
                out.append(supervisor.tick(now))
            now = Now(10**10 + tick * 20_000_000, 10**10 + tick * 20_000_000)
            message = None if message is None else edit(tick, message)
            if message is not None:
                supervisor.receive(message, now)
        return out

    def test_the_recording_is_nominal(self, recorded):
        assert self.replay(recorded, lambda _, m: m)[-1].mode is Mode.NOMINAL

    @settings(
        max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
    )
    @given(case=st.sampled_from(CORRUPTIONS), value=BAD, index=st.integers(0, 10_000), onset=st.integers(120, 140))
    def test_values_that_are_not_finite_lead_to_the_fallback_or_beyond(self, recorded, case, value, index, onset):
        kind, name = case
        hit = []

        def edit(tick, message):
            if tick >= onset and type(message) is kind:
                hit.append(tick)
                return corrupt(message, name, value, index)
            return message

        out = self.replay(recorded, edit)
        assert out[hit[0]].mode >= Mode.FALLBACK
        for message in out:
            assert np.isfinite(message.points).all()
            assert all(math.isfinite(r.measured) and math.isfinite(r.limit) for r in message.reasons)

    @settings(max_examples=25, deadline=None, derandomize=True)
    @given(
        kind=st.sampled_from([EgoState, ObjectList, LaneObservation, Heartbeat, Verdict, Plan]),
        onset=st.integers(90, 110),
    )
    def test_missing_inputs_lead_to_the_fallback_or_beyond(self, recorded, kind, onset):
        out = self.replay(recorded, lambda tick, m: None if tick >= onset and type(m) is kind else m)
        assert out[-1].mode >= Mode.FALLBACK
        assert all(np.isfinite(message.points).all() for message in out)

    @pytest.mark.parametrize("kind", [Route, OperatingConditions])
    def test_what_comes_seldom_or_once_keeps_from_engaging_when_it_never_came(self, recorded, kind):
        out = self.replay(recorded, lambda _, m: None if type(m) is kind else m)
        assert out[-1].engagement is Engagement.STANDBY
        assert all(message.mode >= Mode.FALLBACK for message in out)

    @settings(max_examples=25, deadline=None, derandomize=True)
    @given(
        kind=st.sampled_from([EgoState, ObjectList, LaneObservation, Plan]),
        shift_ms=st.sampled_from([-2000, -1700, 5000]),
    )
    def test_stamps_that_are_late_or_in_the_future_lead_to_the_fallback_or_beyond(self, recorded, kind, shift_ms):
        def edit(tick, message):
            if tick < 110 or type(message) is not kind:
                return message
            changed = {"stamp_ns": message.stamp_ns + shift_ms * 1_000_000}
            if kind is Plan:
                changed["oldest_frame_stamp_ns"] = changed["stamp_ns"]
            return replace(message, **changed)

        assert self.replay(recorded, edit)[-1].mode >= Mode.FALLBACK

    @pytest.fixture(scope="class")
    @staticmethod
    def plain(recorded):
        return TestAnyBadInput().replay(recorded, lambda _, m: m)

    @settings(max_examples=25, deadline=None, derandomize=True)
    @given(data=st.data())
    def test_messages_that_come_twice_or_again_much_later_change_nothing_but_are_reported(self, recorded, plain, data):
        stamped = [k for k, (_, m) in enumerate(recorded) if type(m) is not Heartbeat and type(m) is not Route]
        repeated = data.draw(st.lists(st.sampled_from(stamped), min_size=1, max_size=20))
        again = [(recorded[k][0] + data.draw(st.integers(0, 100)), recorded[k][1]) for k in repeated]
        end = max(tick for tick, _ in recorded)
        mixed = sorted([*recorded, *[(tick, m) for tick, m in again if tick <= end]], key=lambda entry: entry[0])
        out = self.replay(mixed, lambda _, m: m)
        assert [(m.mode, m.engagement, m.source, [code for code in codes(m) if code not in REPORTED]) for m in out] == [
            (m.mode, m.engagement, m.source, codes(m)) for m in plain
        ]
        assert all(np.array_equal(a.points, b.points) for a, b in zip(out, plain, strict=True))

    def test_replayed_old_plans_are_never_driven(self, recorded):
        first = next(m for _, m in recorded if type(m) is Plan)
        plain = self.replay(recorded, lambda _, m: m)
        out = self.replay(recorded, lambda tick, m: first if type(m) is Plan and tick > 130 else m)
        assert first.plan_id not in {m.plan_id for m in out[100:]}
        assert plain[-1].mode is Mode.NOMINAL
