"""The scenario room's own instruments: judge, reference drivers, scripts and grid."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import Polygon

from onboard_vla.core.errors import ConfigurationError
from onboard_vla.core.geometry import Polyline
from onboard_vla.world.scenarios import judge
from onboard_vla.world.scenarios.cell import NEVER, Participant
from onboard_vla.world.scenarios.cut_in import cut_in, cut_in_grid
from onboard_vla.world.scenarios.families import FAMILIES, cells
from onboard_vla.world.scenarios.following import comfortable_stop_m
from onboard_vla.world.scenarios.lines import curve, s_curve, straight
from onboard_vla.world.scenarios.motion import track
from onboard_vla.world.scenarios.reference_drivers import (
    AS_PUBLISHED,
    CarefulHuman,
    Handicap,
    Reg157Driver,
    drive_reference,
)

TIMES = [k * 0.02 for k in range(-30, 601)]
BOXES = st.tuples(
    st.floats(-6, 6), st.floats(-6, 6), st.floats(-7, 7), st.floats(0.4, 6.0), st.floats(0.4, 3.0)
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(BOXES, BOXES)
def test_the_judge_measures_what_shapely_measures(first, second):
    expected = Polygon(judge.corners(first)).distance(Polygon(judge.corners(second)))
    assert judge.gap(first, second) == pytest.approx(expected, abs=1e-7)


def test_crossed_boxes_without_a_corner_inside_the_other_touch():
    assert judge.gap((0, 0, 0, 6, 1), (0, 0, math.pi / 2, 6, 1)) == 0.0


def reference(driver, cell, handicap=AS_PUBLISHED):
    other = track(cell.participants[0], Polyline(cell.line), 100.0, np.array(TIMES))
    return drive_reference(driver, other, TIMES, cell.speed_mps, 100.0, 1.9, 4.3, handicap)


def test_the_careful_human_stops_from_50_kmh_in_27_m():
    """0.75 s of reaction and 0.774 g with a jerk of 12.65 m/s^3 need 27.2 m (less what the released pedal saves)."""

    def stops_before(gap_m):
        revealed = Participant(gap_m + 0.4 * 50 / 3.6, visible_s=(0.001, 1e9))
        other = track(revealed, Polyline(straight()), 100.0, np.array(TIMES))
        return drive_reference(CarefulHuman(), other, TIMES, 50 / 3.6, 100.0, 1.9, 4.3, AS_PUBLISHED).avoids

    assert not stops_before(26.0)
    assert stops_before(28.5)


@pytest.mark.parametrize(("gap_m", "avoids"), [(4.2, False), (6.0, True)])
def test_the_regulations_driver_avoids_cut_ins_above_its_time_to_collision(gap_m, avoids):
    """20 km/h of difference need 5.56 m/s * (5.56 / 12 + 0.35) = 4.5 m when the vehicle is 0.3 m inside the lane."""
    lateral = 1.7
    reaches_lane_s = (1.6 - 0.5) / lateral
    cell = cut_in(50, 30, gap_m + 20 / 3.6 * reaches_lane_s, lateral)
    assert reference(Reg157Driver(), cell).avoids is avoids


def test_delays_make_a_reference_driver_worse():
    cell = cut_in(60, 30, 22, 1.5)
    assert reference(Reg157Driver(), cell).avoids
    assert not reference(Reg157Driver(), cell, Handicap(0.3, 0.1, 0.4, 0.4)).avoids


def test_a_vehicle_that_stays_in_its_lane_is_no_risk():
    cell = cut_in(60, 10, 20, 0.0)
    for driver in (CarefulHuman(), Reg157Driver()):
        assert reference(driver, cell).avoids


def test_the_grid_has_the_published_cells_each_once():
    grid = [cell.key for cell in cut_in_grid()]
    assert len(grid) == len(set(grid)) == 15 * 59 * 18 + 13 * 60 * 18


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_family_has_quick_cells_and_distinct_names(family):
    everything = list(cells(family)) if family != "S2" else list(cells(family, quick=True))
    assert len({cell.key for cell in everything}) == len(everything)
    assert any(cell.quick for cell in everything)


@pytest.mark.parametrize("kmh", [20, 60, 80])
def test_the_comfortable_stop_is_as_long_as_one_driven_in_small_steps(kmh):
    speed, asked, acts, driven, step = kmh / 3.6, 0.0, 0.0, 0.0, 1e-4
    waiting = [0.0] * round(0.2 / step)
    while speed > 0.0:
        asked = min(asked + 4.13 * step, 3.0)
        waiting.append(asked)
        acts += (waiting.pop(0) - acts) * step / 0.2
        speed -= acts * step
        driven += speed * step
    assert comfortable_stop_m(kmh / 3.6) == pytest.approx(driven + 1.5, abs=0.005)


def test_comfort_is_left_out_of_one_standing_lead_alone_where_it_cannot_be_had():
    hard = {cell.name: cell.requirement for cell in cells("S1") if cell.requirement.jerk_mps3 is None}
    assert list(hard) == ["60_60"]
    assert comfortable_stop_m(60 / 3.6) == pytest.approx(60.39, abs=0.01)
    assert hard["60_60"].contact == NEVER
    assert hard["60_60"].final_gap_m == (1.5, 3.5)


def test_an_unknown_family_is_refused():
    with pytest.raises(ConfigurationError, match=r"S99.*expected one of"):
        cells("S99")


def test_a_cut_in_vehicle_moves_as_scripted():
    other = track(cut_in(50, 20, 15, 0.5).participants[0], Polyline(straight()), 100.0, np.array(TIMES))
    start = TIMES.index(0.0)
    assert other.offset_m[start] == pytest.approx(3.5)
    assert other.s_m[start] - 4.3 / 2 == pytest.approx(115.0)
    assert other.offset_m[start + 50] == pytest.approx(3.0, abs=0.01)
    assert other.offset_m[-1] == pytest.approx(0.0, abs=0.05)
    seen = other.reported(start + 50, 1.0, 1, np.zeros(2))
    assert seen is not None
    assert (seen.vx_mps, seen.vy_mps) == pytest.approx((20 / 3.6, -0.5))
    assert seen.heading_rad == 0.0


def test_a_crossing_cyclist_is_reported_with_its_velocity_over_ground():
    rider = next(cell for cell in cells("S6") if cell.name == "bicycle_30").participants[0]
    other = track(rider, Polyline(straight()), 100.0, np.array(TIMES))
    seen = other.reported(TIMES.index(1.0), 1.0, 1, np.zeros(2))
    assert seen is not None
    assert (seen.vx_mps, seen.vy_mps) == pytest.approx((0.0, 4.2), abs=1e-9)
    assert seen.heading_rad == pytest.approx(math.pi / 2)


@pytest.mark.parametrize("line", [curve(50.0), s_curve(50.0)])
def test_bends_have_the_radius_they_are_named_after(line):
    curvature = Polyline(line).curvature_at(np.arange(100.0, 300.0, 5.0), 4.0)
    assert np.abs(curvature).max() == pytest.approx(0.02, rel=0.02)


def test_a_vehicle_that_flips_is_reported_as_another_kind_in_every_list_at_one_place():
    flipping = next(cell for cell in cells("S11") if cell.name == "flip_ahead").participants[0]
    other = track(flipping, Polyline(straight()), 100.0, np.array(TIMES))
    seen = [other.reported(TIMES.index(1.0), 1.0, 1, np.zeros(2), number) for number in range(4)]
    assert [row.kind for row in seen] == ["vehicle", "pedestrian", "cyclist", "vehicle"]
    assert len({(row.x_m, row.y_m, row.vx_mps, row.length_m) for row in seen}) == 1
