"""The sensor model against its declared table."""

import itertools
import math

import numpy as np
import pytest

from onboard_vla.core.conditions import OperatingConditions
from onboard_vla.core.ego import EgoState, WheelSpeed
from onboard_vla.core.errors import ConfigurationError
from onboard_vla.core.objects import ObjectList, TrackedObject
from onboard_vla.core.road import LaneObservation
from onboard_vla.world.expert import Expert
from onboard_vla.world.object_sensor import ObjectSensor, visible_share
from onboard_vla.world.sensors import SENSOR_TABLE, SensorModel
from onboard_vla.world.world import World


def drive(kind, steps=1000, profile="urban"):
    world = World(2, profile)
    expert, sensors, out = Expert(world), SensorModel(3, kind), []
    for _ in range(steps):
        out += [(world.time_ns, message) for message in sensors.due(world)]
        world.step(expert.control())
    return out


@pytest.fixture(scope="module")
def modelled():
    return drive("modelled")


def box(track, x, y, length=4.5, width=1.8, kind="vehicle"):
    return TrackedObject(track, kind, x, y, 0.0, 0.0, 0.0, length, width)


EGO = EgoState(0, 0.0, 0.0, 0.0, 8.0, 0.0, 0.0)


def test_unknown_kind_is_refused():
    with pytest.raises(ConfigurationError, match="modelled"):
        SensorModel(0, "noisy")


def test_table_keeps_the_promised_bounds():
    ego, objects = SENSOR_TABLE["ego"], SENSOR_TABLE["objects"]
    assert ego.rate_hz >= 50.0
    assert ego.latency_s <= 0.020
    assert objects.rate_hz == 10.0
    assert objects.latency_s >= 0.100
    assert objects.value("position sigma") == 0.3
    assert 0.02 <= objects.value("miss share") <= 0.05
    assert objects.value("ghost frames most") / objects.rate_hz <= 0.3
    assert SENSOR_TABLE["lanes"].rate_hz == SENSOR_TABLE["signals"].rate_hz == 10.0


@pytest.mark.parametrize(
    ("message", "rate_hz", "least_ms", "most_ms"),
    [
        (EgoState, 50.0, 1.0, 20.0),
        (WheelSpeed, 50.0, 1.0, 20.0),
        (ObjectList, 10.0, 100.0, 140.0),
        (LaneObservation, 10.0, 40.0, 80.0),
        (OperatingConditions, 1.0, 80.0, 120.0),
    ],
)
def test_messages_come_at_their_rate_and_age(modelled, message, rate_hz, least_ms, most_ms):
    ages = [(at - m.stamp_ns) / 1e6 for at, m in modelled if isinstance(m, message)]
    assert len(ages) == pytest.approx(20.0 * rate_hz, abs=3)
    assert least_ms <= min(ages)
    assert max(ages) <= most_ms


def test_perfect_sensors_tell_the_truth_at_once():
    world = World(2, "quiet_road")
    ego, wheels, objects, lanes, conditions = SensorModel(0, "perfect").due(world)
    assert ego == world.ego
    assert wheels == WheelSpeed(world.ego.stamp_ns, world.ego.speed_mps)
    assert objects == world.objects()
    assert conditions == OperatingConditions(0, "rural", "day", "dry", "world")
    np.testing.assert_array_equal(lanes.centreline, world.lanes().centreline)


def test_wheel_speeds_have_the_declared_scale_and_noise():
    world, truth, scales = World(2, "quiet_road"), None, []
    for seed in range(200):
        sensors = SensorModel(seed, "modelled")
        sensors.due(world)
        truth = world.ego.speed_mps
        scales.append([sensors._wheels.measure(world.ego).speed_mps / truth for _ in range(50)])
    table = np.array(scales)
    assert truth > 5.0
    assert table.mean(axis=1).std() == pytest.approx(SENSOR_TABLE["wheel_speed"].value("scale sigma"), rel=0.15)
    assert table.std(axis=1).mean() * truth == pytest.approx(0.03, rel=0.1)


def test_same_seed_gives_the_same_messages(modelled):
    again = drive("modelled")
    assert [m for _, m in again if isinstance(m, EgoState | ObjectList)] == [
        m for _, m in modelled if isinstance(m, EgoState | ObjectList)
    ]


def test_position_error_has_the_declared_sigma_and_misses_the_declared_share():
    truth = ObjectList(0, tuple(box(k, 20.0 * k, 12.0 * (k % 2) - 6.0) for k in range(1, 6)))
    sensor, errors, reported = ObjectSensor(np.random.default_rng(1)), [], 0
    visible = sum(share >= 0.15 for share in visible_share(truth, EGO))
    frames = 3000
    for _ in range(frames):
        for seen in sensor.measure(truth, EGO).objects:
            near = min(truth.objects, key=lambda o: math.hypot(o.x_m - seen.x_m, o.y_m - seen.y_m))
            gap = (seen.x_m - near.x_m, seen.y_m - near.y_m)
            if math.hypot(*gap) < 2.0:
                errors.append(gap)
                reported += 1
    assert np.std(errors, axis=0) == pytest.approx([0.3, 0.3], rel=0.06)
    assert 1.0 - reported / (visible * frames) == pytest.approx(0.035, abs=0.01)


def test_track_ids_switch_now_and_then():
    truth = ObjectList(0, (box(1, 20.0, 0.0),))
    sensor, ids = ObjectSensor(np.random.default_rng(2)), []
    for _ in range(4000):
        ids += [o.track_id for o in sensor.measure(truth, EGO).objects if math.hypot(o.x_m - 20.0, o.y_m) < 2.0]
    switches = sum(a != b for a, b in itertools.pairwise(ids))
    assert switches / len(ids) == pytest.approx(0.003, abs=0.002)


def test_ghosts_appear_at_the_declared_rate_and_die_within_300_ms():
    sensor = ObjectSensor(np.random.default_rng(4))
    lives = {}
    frames = 20000
    for _ in range(frames):
        for ghost in sensor.measure(ObjectList(0, ()), EGO).objects:
            lives[ghost.track_id] = lives.get(ghost.track_id, 0) + 1
    assert len(lives) / (frames / 10.0) == pytest.approx(0.05, rel=0.25)
    assert max(lives.values()) <= 3


def test_a_truck_hides_the_car_behind_it_but_not_the_one_beside():
    truck, hidden, beside = box(1, 15.0, 0.0, 9.5, 2.5), box(2, 40.0, 0.0), box(3, 40.0, 12.0)
    shares = visible_share(ObjectList(0, (hidden, truck, beside)), EGO)
    assert shares[0] == 0.0
    assert shares[1] == 1.0
    assert shares[2] == 1.0


def test_lane_error_is_small_near_and_grows_with_distance():
    world = World(2, "quiet_road")
    truth, sensors, near, far = world.lanes(), SensorModel(5, "modelled"), [], []
    for _ in range(3000):
        world.time_ns += 100_000_000
        for message in sensors.due(world):
            if isinstance(message, LaneObservation):
                gap = np.hypot(*(message.centreline - truth.centreline).T)
                near.append(gap[5])
                far.append(gap[-1])
    assert np.sqrt(np.mean(np.square(near))) == pytest.approx(0.08, rel=0.2)
    assert np.mean(far) > 2 * np.mean(near)
    assert np.mean(far) < 0.8
