"""Pictures against the cameras' own projection, and what must be visible in them."""

import subprocess
import sys

import numpy as np
import pytest

from onboard_vla.core.cameras import CAMERAS
from onboard_vla.world.paint_ground import covered, dash_share
from onboard_vla.world.render import Renderer
from onboard_vla.world.rig import default_rig
from onboard_vla.world.vehicle import Control
from onboard_vla.world.world import World

from .test_world import add_vehicle, empty_world


@pytest.fixture(scope="module")
def renderer():
    return Renderer(default_rig())


def pixel_of(camera, point):
    """Pinhole projection of an ego-frame point, independent of the renderer."""
    in_camera = camera.rotation.T @ (np.asarray(point) - camera.position_m)
    image = camera.intrinsics @ in_camera
    assert in_camera[2] > 0
    return image[:2] / image[2]


def test_rig_has_six_cameras_that_look_where_their_names_say():
    rig = default_rig()
    assert tuple(rig) == CAMERAS
    forward = {name: camera.rotation[:, 2] for name, camera in rig.items()}
    assert forward["front"][0] > 0.99
    assert forward["back"][0] < -0.99
    assert forward["front_left"][1] > 0
    assert forward["back_right"][1] < 0
    for camera in rig.values():
        assert (camera.width, camera.height) == (448, 252)
        np.testing.assert_allclose(camera.rotation @ camera.rotation.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(camera.rotation) == pytest.approx(1.0)


def test_edge_line_is_bright_where_the_camera_must_see_it(renderer):
    world = empty_world()
    image = renderer.render(world)["front"]
    camera = default_rig()["front"]
    for ahead in (8.0, 12.0, 16.0):
        # The road's first 45 m are straight, the vehicle is on its centre: the line lies at y = -1.875 m.
        column, row = pixel_of(camera, (ahead, -1.875, 0.0))
        on_line = image[int(row), int(column)].astype(int).mean()
        column, row = pixel_of(camera, (ahead, -1.2, 0.0))
        beside = image[int(row), int(column)].astype(int).mean()
        assert on_line > beside + 60


def test_edge_line_survives_shrinking_to_the_models_size(renderer):
    image = renderer.render(empty_world())["front"].astype(float)
    camera = default_rig()["front"]
    column, row = pixel_of(camera, (15.0, -1.875, 0.0))
    # Box-filtered by 8/3, as a resize to 168 x 112 would do horizontally.
    strip = image[int(row) - 1 : int(row) + 2].mean(axis=(0, 2))
    bins = strip[: 168 * 2].reshape(-1, 2).mean(axis=1)
    at = int(column) // 2
    assert bins[at - 1 : at + 2].max() > np.median(bins[at - 12 : at + 12]) + 25


def test_brake_lamps_of_the_vehicle_ahead_light_up(renderer):
    world = empty_world()
    lead = add_vehicle(world, world.ego_s_m + 16.0, speed=5.0)
    lead.colour = 2
    lead.behaviour = object()
    reds = []
    for acceleration in (0.0, -2.0):
        lead.acceleration_mps2 = acceleration
        image = renderer.render(world)["front"].astype(int)
        reds.append(int(((image[..., 0] > 200) & (image[..., 1] < 90)).sum()))
    assert reds[0] == 0
    assert reds[1] > 10


def test_vehicle_ahead_covers_its_projected_box_and_nothing_beside(renderer):
    world = empty_world()
    without = renderer.render(world)["front"].copy()
    lead = add_vehicle(world, world.ego_s_m + 20.0)
    changed = np.abs(renderer.render(world)["front"].astype(int) - without).sum(axis=2) > 12
    camera = default_rig()["front"]
    rear = 20.0 - lead.length_m / 2
    left, _ = pixel_of(camera, (rear, 0.9, 1.0))
    right, _ = pixel_of(camera, (rear, -0.9, 1.0))
    columns = np.flatnonzero(changed.sum(axis=0) > 8)
    assert columns.min() == pytest.approx(left, abs=2.0)
    assert columns.max() == pytest.approx(right, abs=2.0)


def test_nearer_things_hide_farther_ones(renderer):
    world = empty_world()
    add_vehicle(world, world.ego_s_m + 14.0)
    alone = renderer.render(world)["front"].copy()
    behind = add_vehicle(world, world.ego_s_m + 40.0)
    behind.colour = 5
    both = renderer.render(world)["front"]
    camera = default_rig()["front"]
    column, row = pixel_of(camera, (14.0 - 2.25, 0.0, 0.6))
    np.testing.assert_array_equal(both[int(row), int(column)], alone[int(row), int(column)])


@pytest.mark.parametrize("camera", CAMERAS)
def test_pictures_change_while_driving(renderer, camera):
    world = empty_world()
    first = renderer.render(world)[camera].copy()
    for _ in range(5):
        world.step(Control(0.0, 0.0))
    second = renderer.render(world)[camera]
    assert (first != second).mean() > 0.02


def test_bright_clouds_saturate_instead_of_turning_yellow(renderer):
    # Seed 11 has a bright sky: blue used to overflow to zero there while red and green stayed bright.
    for image in renderer.render(World(11, "quiet_road")).values():
        overflowed = (image[..., 0] > 200) & (image[..., 1] > 200) & (image[..., 2] < 100)
        assert not overflowed.any()


def test_signal_shows_its_colour(renderer):
    world = empty_world("urban", seed=1)
    junction = next(j for j in world.road.junctions if j.signal_id is not None)
    world.place_ego(junction.stop_s_m - 12.0)
    programme = world.programmes[junction.signal_id]
    counts = {}
    for state, channel in (("red", 0), ("green", 1)):
        while programme.state(world.time_s) != state:
            world.time_ns += 500_000_000
        image = renderer.render(world)["front"].astype(int)
        other = image[..., 1 - channel]
        counts[state] = int(((image[..., channel] > 200) & (other < 90)).sum())
    assert counts["red"] > 8
    assert counts["green"] > 8


@pytest.mark.parametrize(
    ("position", "width", "share"), [(0.0, 0.1, 1.0), (0.1, 0.2, 0.5), (0.4, 0.1, 0.0), (0.0, 1.0, 0.2)]
)
def test_line_coverage_by_hand(position, width, share):
    assert covered(position, width, -0.1, 0.1) == pytest.approx(share)


@pytest.mark.parametrize(
    ("s", "width", "share"), [(1.0, 0.5, 1.0), (4.0, 0.5, 0.0), (3.0, 1.0, 0.5), (9.0, 60.0, 0.5), (0.0, 2.0, 0.5)]
)
def test_dash_coverage_by_hand(s, width, share):
    assert dash_share(s, width, 3.0, 3.0) == pytest.approx(share)


def test_importing_the_world_compiles_nothing_and_needs_no_torch():
    code = (
        "import sys, onboard_vla.world.world, onboard_vla.world.render, onboard_vla.world.expert\n"
        "import onboard_vla.world.sensors\n"
        "from onboard_vla.world.paint_ground import paint_background\n"
        "from onboard_vla.world.expert_rollout import forecast\n"
        "assert not paint_background.signatures and not forecast.signatures\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
