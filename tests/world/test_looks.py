"""Fog, rain and night, against Koschmieder's law by hand and what must be visible in them."""

import numpy as np
import pytest

from onboard_vla.core.errors import ConfigurationError
from onboard_vla.world.looks import DAY, FOG, LOOKS, NIGHT, RAIN, VISIBILITY_M
from onboard_vla.world.render import Renderer
from onboard_vla.world.rig import default_rig

from .test_render import pixel_of
from .test_world import add_vehicle, empty_world

CAMERA = default_rig()["front"]


@pytest.fixture(scope="module")
def renderers():
    return {look: Renderer(default_rig(), look) for look in LOOKS}


def front(renderers, look, world):
    return renderers[look].render(world)["front"].astype(float)


def at(image, point):
    column, row = pixel_of(CAMERA, point)
    return image[int(row), int(column)]


@pytest.mark.parametrize("ahead", [8.0, 16.0, 30.0])
def test_fog_leaves_the_contrast_that_koschmieder_says(renderers, ahead):
    world = empty_world()
    line, beside = (ahead, -1.875, 0.0), (ahead, -1.2, 0.0)
    day, fog = front(renderers, DAY, world), front(renderers, FOG, world)
    distance = np.linalg.norm(np.array(line) - CAMERA.position_m)
    left = 0.05 ** (distance / VISIBILITY_M[FOG])
    # Colours are whole numbers, and two of them make a difference.
    assert at(fog, line) - at(fog, beside) == pytest.approx(left * (at(day, line) - at(day, beside)), abs=2.0)


def test_fog_hides_what_is_far_and_the_sky(renderers):
    fog = front(renderers, FOG, empty_world())
    assert np.median(np.abs(fog[:60] - np.median(fog[:60], axis=(0, 1))), axis=(0, 1)).max() <= 1
    world = empty_world()
    bare = front(renderers, FOG, world)
    add_vehicle(world, world.ego_s_m + 120.0)
    assert np.abs(front(renderers, FOG, world) - bare).max() < 3
    assert np.abs(front(renderers, DAY, world) - front(renderers, DAY, empty_world())).max() > 20


def test_rain_falls_elsewhere_at_the_next_instant_and_the_same_at_the_same(renderers):
    world = empty_world()
    first = front(renderers, RAIN, world)
    np.testing.assert_array_equal(first, front(renderers, RAIN, world))
    world.time_ns += 100_000_000
    assert (first != front(renderers, RAIN, world)).any(axis=2).mean() > 0.005


def test_night_is_dark_but_for_the_beam_and_lamps(renderers):
    world = empty_world()
    day, night = front(renderers, DAY, world), front(renderers, NIGHT, world)
    assert night[:60].mean() < 0.06 * day[:60].mean()
    assert at(night, (12.0, -1.875, 0.0)).mean() > 0.3 * at(day, (12.0, -1.875, 0.0)).mean()
    assert at(night, (60.0, -1.875, 0.0)).mean() < 0.2 * at(day, (60.0, -1.875, 0.0)).mean()
    side = renderers[NIGHT].render(world)["back_left"]
    assert side.mean() < 12


def test_a_vehicle_ahead_is_known_at_night_by_its_lamps_and_brighter_when_it_brakes(renderers):
    reds = []
    for braking in (False, True):
        world = empty_world()
        vehicle = add_vehicle(world, world.ego_s_m + 50.0, speed=5.0)
        vehicle.behaviour = object()
        vehicle.acceleration_mps2 = -3.0 if braking else 0.0
        image = front(renderers, NIGHT, world)
        reds.append((image[..., 0] - image[..., 1]).max())
    assert reds[0] > 60
    assert reds[1] > reds[0] + 60


def test_the_day_is_left_as_it_was_and_other_looks_differ_from_it(renderers):
    world = empty_world()
    plain = Renderer(default_rig()).render(world)["front"].copy()
    np.testing.assert_array_equal(renderers[DAY].render(world)["front"], plain)
    for look in set(LOOKS) - {DAY}:
        assert np.abs(front(renderers, look, world) - plain).mean() > 10


def test_an_unknown_look_is_refused():
    with pytest.raises(ConfigurationError, match="look 'dusk': expected one of day, fog, rain, night"):
        Renderer(default_rig(), "dusk")
