"""Road profiles: everything that tells a quiet road from a motorway, as data. SI units throughout."""

from __future__ import annotations

from dataclasses import dataclass

from onboard_vla.core.conditions import MOTORWAY, RURAL, URBAN


@dataclass(frozen=True)
class Profile:
    """One kind of road with its traffic. Lateral quantities are measured from the ego lane's centreline, left positive.

    `shoulder_m`: drivable strip right of the lane. `centre_gap_m`: painted flush median between the ego lane and the
    next one, drivable, used by nobody. `lanes`: lanes in driving direction (the ego lane is the rightmost).
    Radii bound the curves between junctions. `leads` and `oncoming` are numbers of vehicles kept around the ego;
    each lead is there with probability `lead_share`.
    `junction_spacing_m`: 0 for a road without junctions. `sight_m`: how far lanes, signals and objects are perceived.
    """

    name: str
    road_class: str
    speed_limits_mps: tuple[float, ...]
    lane_width_m: float
    shoulder_m: float
    centre_gap_m: float
    lanes: int
    left_margin_m: float
    route_length_m: float
    min_radius_m: float
    max_radius_m: float
    straight_share: float
    max_heading_rad: float
    junction_spacing_m: float
    turn_share: float
    signal_share: float
    kerb: bool
    sight_m: float
    leads: int
    lead_share: float
    slower_lead_share: float
    oncoming: int
    parked_spacing_m: float
    cut_in_spacing_m: float
    pedestrian_spacing_m: float
    crossing_pedestrian_share: float
    tree_spacing_m: float
    building_spacing_m: float
    start_speed_share: float


PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile(
            name="quiet_road",
            road_class=RURAL,
            speed_limits_mps=(8.0, 9.0, 10.0),
            lane_width_m=3.75,
            shoulder_m=1.25,
            centre_gap_m=0.8,
            lanes=1,
            left_margin_m=0.8,
            route_length_m=1500.0,
            min_radius_m=60.0,
            max_radius_m=220.0,
            straight_share=0.3,
            max_heading_rad=1.2,
            junction_spacing_m=0.0,
            turn_share=0.0,
            signal_share=0.0,
            kerb=False,
            sight_m=100.0,
            leads=1,
            lead_share=0.5,
            slower_lead_share=0.5,
            oncoming=3,
            parked_spacing_m=90.0,
            cut_in_spacing_m=0.0,
            pedestrian_spacing_m=0.0,
            crossing_pedestrian_share=0.0,
            tree_spacing_m=14.0,
            building_spacing_m=110.0,
            start_speed_share=0.8,
        ),
        Profile(
            name="urban",
            road_class=URBAN,
            speed_limits_mps=(10.0, 12.0, 13.9),
            lane_width_m=3.5,
            shoulder_m=2.3,
            centre_gap_m=0.3,
            lanes=1,
            left_margin_m=0.3,
            route_length_m=1600.0,
            min_radius_m=80.0,
            max_radius_m=250.0,
            straight_share=0.6,
            max_heading_rad=0.3,
            junction_spacing_m=150.0,
            turn_share=0.45,
            signal_share=0.75,
            kerb=True,
            sight_m=100.0,
            leads=2,
            lead_share=0.6,
            slower_lead_share=0.6,
            oncoming=4,
            parked_spacing_m=28.0,
            cut_in_spacing_m=130.0,
            pedestrian_spacing_m=60.0,
            crossing_pedestrian_share=0.3,
            tree_spacing_m=26.0,
            building_spacing_m=24.0,
            start_speed_share=0.6,
        ),
        Profile(
            name="rural",
            road_class=RURAL,
            speed_limits_mps=(19.4, 22.2, 25.0),
            lane_width_m=3.6,
            shoulder_m=1.5,
            centre_gap_m=0.3,
            lanes=1,
            left_margin_m=0.3,
            route_length_m=3400.0,
            min_radius_m=140.0,
            max_radius_m=600.0,
            straight_share=0.4,
            max_heading_rad=1.2,
            junction_spacing_m=900.0,
            turn_share=0.0,
            signal_share=0.5,
            kerb=False,
            sight_m=160.0,
            leads=2,
            lead_share=0.6,
            slower_lead_share=0.7,
            oncoming=4,
            parked_spacing_m=300.0,
            cut_in_spacing_m=500.0,
            pedestrian_spacing_m=0.0,
            crossing_pedestrian_share=0.0,
            tree_spacing_m=16.0,
            building_spacing_m=160.0,
            start_speed_share=0.8,
        ),
        Profile(
            name="motorway",
            road_class=MOTORWAY,
            speed_limits_mps=(27.8, 30.6, 33.0),
            lane_width_m=3.75,
            shoulder_m=2.5,
            centre_gap_m=0.0,
            lanes=2,
            left_margin_m=3.75,
            route_length_m=4600.0,
            min_radius_m=650.0,
            max_radius_m=2000.0,
            straight_share=0.4,
            max_heading_rad=0.8,
            junction_spacing_m=0.0,
            turn_share=0.0,
            signal_share=0.0,
            kerb=False,
            sight_m=200.0,
            leads=3,
            lead_share=0.5,
            slower_lead_share=0.6,
            oncoming=4,
            parked_spacing_m=900.0,
            cut_in_spacing_m=350.0,
            pedestrian_spacing_m=0.0,
            crossing_pedestrian_share=0.0,
            tree_spacing_m=22.0,
            building_spacing_m=300.0,
            start_speed_share=0.85,
        ),
    )
}
