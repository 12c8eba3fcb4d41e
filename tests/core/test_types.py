"""Small rules of the core types, and the error hierarchy that the command line relies on."""

import inspect

import numpy as np
import pytest

from onboard_vla.core import errors
from onboard_vla.core.cameras import FrameSet
from onboard_vla.core.clock import Now, nanoseconds, seconds, system_now
from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.objects import ObjectList, TrackedObject
from onboard_vla.core.road import Route, RouteCommand
from onboard_vla.core.safe_trajectory import Mode


def test_every_error_is_caught_by_the_root_and_documented():
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]

    assert len(kinds) > 5
    assert all(issubclass(kind, errors.OnboardVlaError) and kind.__doc__ for kind in kinds)
    assert not issubclass(errors.OnboardVlaError, (OSError, ValueError))


@pytest.mark.parametrize(("duration_s", "duration_ns"), [(0.02, 20_000_000), (-1.5, -1_500_000_000), (1e-9, 1)])
def test_seconds_and_nanoseconds(duration_s, duration_ns):
    assert nanoseconds(duration_s) == duration_ns
    assert seconds(duration_ns) == pytest.approx(duration_s)


def test_the_monotonic_clock_does_not_go_back():
    first, second = system_now(), system_now()

    assert isinstance(first, Now)
    assert second.monotonic_ns >= first.monotonic_ns


def test_data_age_counts_from_the_oldest_of_the_newest_pictures():
    picture = np.zeros((1, 1, 3), np.uint8)
    images = {camera: (picture, picture) for camera in ("front", "back")}
    frames = FrameSet(100, images, {"front": (50, 100), "back": (40, 90)})

    assert frames.oldest_stamp_ns == 90


def test_a_command_holds_from_its_start_up_to_its_end():
    points = np.array([[0.0, 0.0], [100.0, 0.0]])
    route = Route("r", points, np.full(2, 10.0), (RouteCommand(20.0, 40.0, "turn left"),))

    assert [route.command_at(s) for s in (19.99, 20.0, 39.99, 40.0)] == [
        "keep forward",
        "turn left",
        "turn left",
        "keep forward",
    ]


def test_object_states_keep_their_shape_when_nothing_was_seen():
    one = TrackedObject(1, "vehicle", 1.0, 2.0, 0.1, 3.0, 4.0, 5.0, 6.0)

    assert ObjectList(0, ()).states().shape == (0, 7)
    assert ObjectList(0, (one,)).states().tolist() == [[1.0, 2.0, 0.1, 3.0, 4.0, 5.0, 6.0]]


def test_the_footprint_centre_lies_between_axles():
    geometry = VehicleGeometry(length_m=5.0, rear_overhang_m=1.0)

    assert geometry.centre_offset_m == 1.5


def test_modes_are_ordered_by_restriction():
    assert list(Mode) == sorted(Mode)
    assert Mode.NOMINAL < Mode.REDUCED < Mode.FALLBACK < Mode.IN_LANE_STOP < Mode.EMERGENCY_STOP
