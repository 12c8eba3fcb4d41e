"""Limits of the input guards: wheel speed, clocks, camera arrivals, objects, lanes, authority, actuators."""

from __future__ import annotations

from dataclasses import dataclass

from onboard_vla.core.validated import Validated, choice, limit

OPTIONAL, REQUIRED = "optional", "required"


@dataclass(frozen=True)
class WheelLimits(Validated):
    """The second speed source. What it may show by itself is what the odometry's speed may (`ego`)."""

    presence: str = choice(
        OPTIONAL, "own: `required` makes its loss a fault; compared whenever it comes", (OPTIONAL, REQUIRED)
    )
    silent_s: float = limit(0.2, "s", "own: as the odometry's L3; its loss alone L2", 0.04, 1.0)
    apart_mps: float = limit(2.0, "m/s", "2.6 and 10.2 F17: two sources, L3", 0.5, 10.0)
    apart_messages: int = limit(3, "messages", "own: 60 ms at 50 Hz; F17 allows 100 ms", 1, 10)


@dataclass(frozen=True)
class ClockLimits(Validated):
    """The data clock against the monotonic clock. Watchdogs run on the latter and do not care."""

    step_s: float = limit(0.02, "s", "1 and 10.2 F16: L2", 0.001, 10.0)
    stop_step_s: float = limit(0.1, "s", "10.2 F16: an ego state skewed by so much is L3", 0.01, 10.0)
    slew_per_s: float = limit(0.005, "s/s", "own: ten times what NTP slews; slower drift is no step", 0.0, 0.1)
    hold_s: float = limit(2.0, "s", "own: until no stamp from before the step is in use", 0.1, 60.0)


@dataclass(frozen=True)
class SkewLimits(Validated):
    """Stamps of ego, objects and lanes against their learned age on arrival (cameras: `camera_guard`)."""

    learn_s: float = limit(1.0, "s", "own: from the first message on", 0.1, 10.0)
    window_s: float = limit(0.3, "s", "10.2 F16: found within 500 ms", 0.05, 2.0)
    messages: int = limit(3, "messages", "own: all of the window's, so many at least", 2, 100)
    skew_s: float = limit(0.07, "s", "10.2 F16: between 40 ms tolerated and 100 ms; ego L3, others L2", 0.02, 0.5)
    tracked_s: float = limit(0.04, "s", "10.2 F16: tolerated; the learned age follows within it", 0.0, 0.1)
    tracking: float = limit(0.002, "1", "own: share per message; 10 s at 50 Hz, 50 s at 10 Hz", 0.0, 0.1)


@dataclass(frozen=True)
class CameraArrivalLimits(Validated):
    """Pictures that do not come: one camera's loss is found fast where the link is clean, and without flapping else."""

    period_s: float = limit(0.1, "s", "10.2 F4: cameras at 10 Hz", 0.01, 1.0)
    window: int = limit(50, "pictures", "own: 5 s at 10 Hz, over which losses are counted", 10, 1000)
    lossy_fraction: float = limit(0.15, "1", "own: between no loss and F5's 0.3; L1", 0.01, 1.0)
    lossy_silence_s: float = limit(
        0.95, "s", "own: 9 lost in a row; at 30 % random loss once in 2 h per camera", 0.2, 5.0
    )
    lossy_gaps: int = limit(
        3, "gaps", "own: in pictures of any cameras within `lossy_span_s`; then the link is lossy", 1, 100
    )
    lossy_span_s: float = limit(1.0, "s", "own: 60 pictures of six cameras", 0.1, 10.0)


@dataclass(frozen=True)
class ObjectLimits(Validated):
    """What a list of objects may look like, and how it may differ from the one before."""

    speed_max_mps: float = limit(80.0, "m/s", "own: 288 km/h over ground", 10.0, 150.0)
    jump_m: float = limit(3.0, "m", "own: 10 sigma of 0.3 m, against the object's own prediction", 0.5, 20.0)
    jump_per_s: float = limit(6.0, "m/s", "own: what changes of velocity add per second since", 0.0, 50.0)
    jumps: int = limit(3, "objects", "own: jumps (L2) or mixed-up identities (L1) within `window_s`", 1, 100)
    window_s: float = limit(1.0, "s", "own: ten lists", 0.1, 10.0)
    memory_s: float = limit(0.5, "s", "own: an identity unseen for longer may stand anywhere", 0.1, 5.0)
    vanished: int = limit(3, "objects", "10.2 F19: confirmed ones gone at once, the list empty; L1", 1, 100)
    vanished_near_m: float = limit(40.0, "m", "own: farther ones may leave the sight", 5.0, 200.0)
    vanished_hold_s: float = limit(2.0, "s", "own: as the ladder's dwell", 0.1, 60.0)


@dataclass(frozen=True)
class LaneLimits(Validated):
    """Whether lanes and route are where the vehicle is, and stay where they were (10.2 F20: L3)."""

    shift_m: float = limit(
        0.75,
        "m",
        "own: so much room has 2 m in a lane of 3.5 m; beside the vehicle, and ahead at least",
        0.3,
        5.0,
    )
    turn_rad: float = limit(
        0.035,
        "rad",
        "own: ahead; 5 standard deviations between two messages of headings that err by 0.004 rad (lane) and 0.003 rad "
        "(odometry), as the world's sensor table has them",
        0.005,
        0.2,
    )
    ahead_s: float = limit(3.0, "s", "own: lines are compared as far as the vehicle comes in it", 1.0, 10.0)
    ahead_m: float = limit(20.0, "m", "own: and at least so far; a turn by 3 degrees is 1 m there", 10.0, 100.0)
    memory_s: float = limit(
        1.5,
        "s",
        "own: lanes believed so lately are compared with; 0.75 m in it are 0.5 m/s of drift",
        0.5,
        5.0,
    )
    turned_rad: float = limit(
        0.15,
        "rad",
        "own: a first lane, and an engaging vehicle, from one another and the route; 8.6 degrees",
        0.05,
        1.0,
    )
    reroute_s: float = limit(
        3.0,
        "s",
        "own: after another route the lane may turn off as it does: perception's delay, and memory",
        0.0,
        10.0,
    )
    doubts: int = limit(3, "messages", "own: doubted within `doubts_s`: L2", 2, 20)
    doubts_s: float = limit(1.0, "s", "own: ten messages", 0.2, 10.0)
    edge_m: float = limit(0.3, "m", "own: noise of an edge that stays while its lane takes another shape", 0.05, 1.0)
    away_m: float = limit(5.0, "m", "own: vehicle from the centreline; another frame or place", 2.0, 50.0)
    route_away_m: float = limit(20.0, "m", "own: vehicle from the route, on any of its lanes", 5.0, 200.0)


@dataclass(frozen=True)
class AuthorityLimits(Validated):
    """One planner, one camera guard at a time (10.2 F24: L3)."""

    window_s: float = limit(1.0, "s", "own: two identities heard within it, in turn, live side by side", 0.1, 10.0)
    backwards: int = limit(3, "messages", "own: heartbeats or plans that count backwards within the window", 2, 100)
    hold_s: float = limit(2.0, "s", "own: as the ladder's dwell", 0.1, 60.0)
    frozen_plans: int = limit(
        2, "plans", "own: new numbers on old pictures, no new ones between; L2. One may be a slow plan come late", 2, 20
    )


@dataclass(frozen=True)
class ActuatorLimits(Validated):
    """Whether the vehicle does what was published, its own lag allowed for."""

    window_s: float = limit(1.0, "s", "own: over which changes of speed are compared", 0.3, 5.0)
    lag_s: float = limit(0.6, "s", "own: 10.3 has 0.2 s delay and 0.2 s lag; longer is reported as lag: L2", 0.1, 2.0)
    late_s: float = limit(1.2, "s", "own: beyond it it is no lag any more", 0.2, 3.0)
    slow_mps: float = limit(1.5, "m/s", "own: less speed gained, or more lost, than asked for: L2", 0.3, 10.0)
    fast_mps: float = limit(1.5, "m/s", "own: more speed gained, or less lost, than asked for: L3", 0.3, 10.0)
    path_s: float = limit(1.5, "s", "own: age of the published path that the vehicle must be on", 0.5, 5.0)
    lateral_m: float = limit(1.0, "m", "2.6: largest path deviation of a control validator; L3", 0.2, 5.0)
    confirm_s: float = limit(0.2, "s", "own: ten ticks in a row", 0.02, 2.0)
