"""Road geometry against hand-made values and independent reconstruction."""

import numpy as np
import pytest

from onboard_vla.core.geometry import Polyline
from onboard_vla.core.road import KEEP_FORWARD, TURN_LEFT, TURN_RIGHT
from onboard_vla.world.profiles import PROFILES
from onboard_vla.world.road import TURN_RADIUS_M, Road


@pytest.fixture(params=list(PROFILES))
def road(request):
    return Road(PROFILES[request.param], np.random.default_rng(3))


def test_samples_are_one_metre_apart(road):
    steps = np.hypot(*np.diff(road.points, axis=0).T)
    assert np.allclose(steps, 1.0, atol=1e-9)


def test_road_is_long_enough_for_two_minutes_at_the_limit(road):
    assert road.length_m > 110.0 * road.speed_limit_mps


def test_projection_inverts_pose_at(road):
    rng = np.random.default_rng(0)
    for _ in range(60):
        s, d = rng.uniform(5.0, road.length_m - 5.0), rng.uniform(-4.0, 4.0)
        x, y, _ = road.pose_at(s, d)
        found_s, found_d = road.project(x, y, s + rng.uniform(-8.0, 8.0))
        # In the tightest turn (9 m) the 1 m sampling turns by 0.11 rad, which at 4 m aside is 0.2 m of arc length.
        assert found_s == pytest.approx(s, abs=0.25)
        assert found_d == pytest.approx(d, abs=0.1)


def test_projection_agrees_with_the_core_polyline(road):
    line = Polyline(road.points)
    for s in np.linspace(20.0, road.length_m - 20.0, 15):
        x, y, _ = road.pose_at(float(s), 1.5)
        reference_s, reference_d = line.project(np.array([[x, y]]))
        found_s, found_d = road.project(x, y, float(s) - 3.0)
        assert found_s == pytest.approx(float(reference_s[0]), abs=0.15)
        assert found_d == pytest.approx(float(reference_d[0]), abs=0.05)


def test_curves_outside_junctions_respect_the_least_radius(road):
    outside = np.ones(len(road.points), bool)
    for junction in road.junctions:
        outside[int(junction.stop_s_m) - 2 : int(junction.exit_s_m) + 30] = False
    assert np.abs(road.curvatures[outside]).max() <= 1.0 / road.profile.min_radius_m + 1e-9


def test_quiet_road_is_gentle_and_has_a_drivable_shoulder():
    profile = PROFILES["quiet_road"]
    assert profile.min_radius_m >= 60.0
    assert profile.shoulder_m >= 1.0
    assert max(profile.speed_limits_mps) <= 10.0


def test_urban_turns_go_the_announced_way():
    road = Road(PROFILES["urban"], np.random.default_rng(5))
    turns = [j for j in road.junctions if j.turn != KEEP_FORWARD]
    assert turns
    for junction in turns:
        before = road.pose_at(junction.stop_s_m)[2]
        after = road.pose_at(junction.exit_s_m + 12.0)[2]
        sign = {TURN_LEFT: 1.0, TURN_RIGHT: -1.0}[junction.turn]
        assert sign * (after - before) == pytest.approx(np.pi / 2, abs=0.15)
        middle = (junction.enter_s_m + junction.exit_s_m) / 2
        assert road.route("r").command_at(middle) == junction.turn
        assert road.route("r").command_at(junction.stop_s_m - 30.0) == junction.turn
        assert 1.0 / np.abs(road.curvatures).max() >= min(TURN_RADIUS_M.values()) - 0.5


def test_stop_lines_lie_before_the_crossing_surface():
    for seed in range(6):
        for junction in Road(PROFILES["urban"], np.random.default_rng(seed)).junctions:
            assert junction.stop_s_m < junction.enter_s_m <= junction.exit_s_m


def test_speed_profile_bounds_lateral_acceleration_and_braking(road):
    lateral = road.speed_profile**2 * np.abs(road.curvatures)
    assert lateral.max() <= 1.8 + 1e-9
    braking = (road.speed_profile[:-1] ** 2 - road.speed_profile[1:] ** 2) / 2
    assert braking.max() <= 1.0 + 1e-9
