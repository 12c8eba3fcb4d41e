"""Is it unsafe to accept this plan? Judged from the definitions; of the room under test nothing is used but its limits.

Places and motion come from the scene in closed form, footprints are shapely's polygons, derivatives are polynomials
fitted by NumPy, and the stop is driven in small steps. Every figure has a tolerance on the guard's side: what is found
here is beyond a limit by more than rounding and sampling can explain.
"""

from __future__ import annotations

import math

import numpy as np
import shapely

from onboard_vla.safety.config import SupervisorConfig

from .fuzz_plans import BEHIND_M, NOW_NS, Scene

NUMBER = 1e-2
"""Relative tolerance of derivatives: poses are float32, chords stand for arcs."""
ROOM_M = 0.05
"""Tolerance of distances between boxes and to edges."""
STOP_M = 0.3
"""Tolerance of stopping distances."""


def unsafe(plan, scene: Scene, config: SupervisorConfig) -> list[str]:
    """What stands against the plan; an empty list says that nothing was found."""
    doubt = plan.uncertainty
    numbers = [plan.poses, plan.fine_poses, plan.step_s, doubt.spread_m, doubt.outside_mass, doubt.chosen_mass]
    if not all(np.isfinite(np.asarray(value, np.float64)).all() for value in numbers):
        return ["not finite"]
    if np.shape(plan.poses) != (10, 3) or np.shape(plan.fine_poses) != (50, 3) or len(plan.action_tokens) != 10:
        return ["counts"]
    if plan.step_s != 0.5 or min(plan.action_tokens) < 0:
        return ["step or tokens"]
    age_s = (NOW_NS - plan.stamp_ns) / 1e9
    if not -0.005 <= age_s <= 1.5 + 1e-6:
        return ["age"]
    if np.abs(plan.fine_poses[4::5] - plan.poses).max() > config.structure.fine_mismatch_m + 1e-6:
        return ["fine poses leave the poses"]
    knots, fine = placed(plan, scene, age_s)
    found = motion(knots, config)
    if found:
        return found
    times = np.arange(51) * 0.1
    at = np.arange(31) * 0.1 + age_s
    poses = np.column_stack([np.interp(at, times, fine[:, column]) for column in range(3)])
    found = start(knots, poses[0], scene, config)
    found += off_road(poses[::2], scene, config)
    found += past_red(poses[::2], scene, config)
    found += contact(poses, scene, config)
    return found + stopping(fine, knots, age_s, scene, config)


def placed(plan, scene: Scene, age_s: float):
    """Knots every 0.5 s from 1 s before the plan's start, and poses every 0.1 s from it, in the plane, unwrapped."""
    x, y, heading = scene.pose(-age_s)
    turn = complex(math.cos(heading), math.sin(heading))

    def moved(rows):
        rows = np.asarray(rows, np.float64)
        spot = complex(x, y) + (rows[:, 0] + 1j * rows[:, 1]) * turn
        return np.column_stack([spot.real, spot.imag, heading + np.unwrap(np.concatenate([[0.0], rows[:, 2]]))[1:]])

    past = np.array([scene.pose(-age_s - 1.0), scene.pose(-age_s - 0.5), (x, y, heading)])
    return np.concatenate([past, moved(plan.poses)]), np.concatenate([past[2:], moved(plan.fine_poses)])


def derivatives(values):
    """First and second derivative at knots 2, 3, ...: quadratics through five knots, as central as the ends allow."""
    first, second = [], []
    for knot in range(2, len(values)):
        begin = min(max(knot - 2, 0), len(values) - 5)
        t = (np.arange(begin, begin + 5) - knot) * 0.5
        a, b, _ = np.polyfit(t, values[begin : begin + 5], 2)
        first.append(b)
        second.append(2 * a)
    return np.array(first), np.array(second)


def motion(knots, config) -> list[str]:
    """Jumps between the poses, then limits on what the fitted motion does."""
    k, step = config.kinematics, np.diff(knots[:, :2], axis=0)
    middle = (knots[1:, 2] + knots[:-1, 2]) / 2
    forward = step[:, 0] * np.cos(middle) + step[:, 1] * np.sin(middle)
    sideways = step[:, 1] * np.cos(middle) - step[:, 0] * np.sin(middle)
    found = []
    if (np.hypot(*step[2:].T) > k.raw_speed_max_mps * 0.5 * (1 + NUMBER)).any():
        found.append("too fast")
    if (np.abs(np.diff(knots[2:, 2])) > k.raw_heading_step_rad * (1 + NUMBER)).any():
        found.append("heading jumps")
    if (forward[2:] < -k.raw_reverse_m * (1 + NUMBER)).any() or (np.abs(sideways[2:]) > k.raw_sideways_m * 1.01).any():
        found.append("backwards or sideways")
    speed, acceleration = derivatives(np.concatenate([[0.0], np.cumsum(forward)]))
    _, drift = derivatives(np.concatenate([[0.0], np.cumsum(sideways)]))
    yaw, yaw_acceleration = derivatives(knots[:, 2])
    lateral = speed * yaw + drift
    limits = (
        ("acceleration", acceleration, k.acceleration_max_mps2),
        ("deceleration", -acceleration, k.deceleration_max_mps2),
        ("lateral acceleration", np.abs(lateral), k.lateral_acceleration_mps2),
        ("lateral jerk", np.abs(np.diff(lateral)) / 0.5, k.lateral_jerk_mps3),
        ("yaw rate", np.abs(yaw), k.yaw_rate_rps),
        ("yaw acceleration", np.abs(yaw_acceleration), k.yaw_acceleration_rps2),
        ("curvature", np.abs(yaw) / np.maximum(speed, k.curvature_speed_floor_mps), k.curvature_per_m),
    )
    return found + [name for name, values, limit in limits if values.max() > limit * (1 + NUMBER) + 1e-3]


def start(knots, here, scene: Scene, config) -> list[str]:
    """The plan's first speed, and where it says that the vehicle is by now."""
    limits, gaps = config.consistency, []
    lengths = np.hypot(*np.diff(knots[2:5, :2], axis=0).T) / 0.5
    if abs(1.5 * lengths[0] - 0.5 * lengths[1] - scene.speed) > limits.speed_mps * (1 + NUMBER) + 0.05:
        gaps.append("first speed")
    dx, dy = scene.x - here[0], scene.y - here[1]
    ahead = dx * math.cos(here[2]) + dy * math.sin(here[2])
    beside = dy * math.cos(here[2]) - dx * math.sin(here[2])
    if abs(beside) > limits.lateral_m + ROOM_M:
        gaps.append("beside the plan")
    if abs(ahead) > limits.longitudinal_m + limits.longitudinal_per_speed_s * scene.speed + ROOM_M:
        gaps.append("ahead or behind")
    if abs(math.remainder(scene.heading - here[2], 2 * math.pi)) > limits.yaw_rad + 1e-3:
        gaps.append("heading")
    return gaps


def boxes(poses, config, side=0.0, nose=0.0):
    """Footprints as polygons, rear axle at the poses."""
    v = config.vehicle
    front, back, half = v.length_m - v.rear_overhang_m + nose, -v.rear_overhang_m, v.width_m / 2 + side
    corners = np.array([complex(front, half), complex(back, half), complex(back, -half), complex(front, -half)])
    spots = (poses[:, 0] + 1j * poses[:, 1])[:, None] + corners[None] * np.exp(1j * poses[:, 2])[:, None]
    return np.stack([spots.real, spots.imag], axis=-1)


def off_road(poses, scene: Scene, config) -> list[str]:
    """Corners against the lane's edges, in closed form: distance from a line or from a circle's centre."""
    s, d = lane_coordinates(boxes(poses, config).reshape(-1, 2), scene)
    judged = (s > -BEHIND_M + 1.0) & (s < scene.lane_end - 2.0)
    outside = np.where(d > 0, d - scene.left, -d - scene.right)[judged]
    return ["off road"] if len(outside) and outside.max() > config.road.outside_m + ROOM_M else []


def past_red(poses, scene: Scene, config) -> list[str]:
    """The front against every red stop point that it has not passed yet, in closed form, seen lane or not."""
    fronts = fronts_along(poses, scene, config)
    over = config.road.red_overrun_m
    for at, state in scene.signals:
        if state == "red" and fronts[0] < at + over - STOP_M and fronts.max() > at + over + STOP_M:
            return ["past a red signal"]
    return []


def fronts_along(poses, scene: Scene, config):
    """Arc length along the lane of the middle of the front."""
    front = config.vehicle.length_m - config.vehicle.rear_overhang_m
    return lane_coordinates(poses[:, :2] + front * np.column_stack([np.cos(poses[:, 2]), np.sin(poses[:, 2])]), scene)[
        0
    ]


def lane_coordinates(points, scene: Scene):
    """Arc length and offset to the left of points (N, 2) on the lane, straight or a circle."""
    x0, y0, along = scene.lane_point(0.0, 0.0)
    dx, dy = points[:, 0] - x0, points[:, 1] - y0
    u, w = dx * math.cos(along) + dy * math.sin(along), dy * math.cos(along) - dx * math.sin(along)
    if not scene.lane_curvature:
        return u, w
    radius = 1 / scene.lane_curvature
    s = np.arctan2(u, np.copysign(1.0, radius) * (radius - w)) * abs(radius)
    return s, radius - np.copysign(np.hypot(u, radius - w), radius)


def contact(poses, scene: Scene, config) -> list[str]:
    """The grown footprint against objects in straight motion; who runs into the rear half of a vehicle that keeps
    its offset in the lane is at fault."""
    limits = config.collision
    moved = math.hypot(*(poses[-1, :2] - poses[0, :2])) > 0.5 * 3.0
    nose = limits.front_margin_m if moved else 0.0
    return touches(poses, scene, config, nose, "contact")


def touches(poses, scene: Scene, config, nose, name) -> list[str]:
    """Who touches the footprint with its margins, or the bare vehicle, is each time asked whether he would, too, had
    the vehicle kept to its offset in the lane: only then may he have run into it."""
    limits, t = config.collision, np.arange(len(poses)) * 0.1
    for o in scene.objects:
        margin = limits.lateral_margin_m if o.kind in ("static", "vehicle") else limits.vulnerable_margin_m
        for side, front in ((margin, nose), (0.0, 0.0)):
            own = shapely.polygons(boxes(poses, config, side, front))
            hit = np.flatnonzero(shapely.intersects(own, outlines(o, t, -ROOM_M)))
            if not len(hit):
                continue
            # The first touch is no earlier than with a larger object, no later than with a smaller one.
            begun = np.flatnonzero(shapely.intersects(own, outlines(o, t, ROOM_M)))[0]
            if not any(runs_into(o, poses, k, scene, config.vehicle, side) for k in range(begun, hit[0] + 1)):
                return [f"{name} with a {o.kind}"]
    return []


def outlines(o, times, growth):
    """Polygons of an object at the times, larger by `growth` all round."""
    half = np.array([o.length_m / 2 + growth, o.width_m / 2 + growth])
    corners = np.array([complex(a * half[0], b * half[1]) for a, b in ((1, 1), (-1, 1), (-1, -1), (1, -1))])
    spots = (o.x_m + o.vx_mps * times + 1j * (o.y_m + o.vy_mps * times))[:, None] + corners * np.exp(1j * o.heading_rad)
    return shapely.polygons(np.stack([spots.real, spots.imag], axis=-1))


def runs_into(o, poses, k, scene: Scene, vehicle, side) -> bool:
    """Whether the object of the touch at pose `k` is behind the middle, faster, and in the strip of the lane that the
    vehicle, `side` wider on either side, sweeps at its present offset."""
    heading, back = poses[k, 2], poses[max(k - 1, 0)]
    speed = math.hypot(*(poses[min(k + 1, len(poses) - 1), :2] - back[:2])) / 0.2
    ahead = (o.x_m + o.vx_mps * k * 0.1 - poses[k, 0]) * math.cos(heading) + (
        o.y_m + o.vy_mps * k * 0.1 - poses[k, 1]
    ) * math.sin(heading)
    theirs = o.vx_mps * math.cos(heading) + o.vy_mps * math.sin(heading)
    if ahead > vehicle.centre_offset_m + 0.5 or theirs < speed - 0.5:
        return False
    # The scene's offset is the vehicle's own place now: the plan may begin beside it.
    middle = shapely.linestrings([scene.lane_point(s, scene.offset)[:2] for s in np.arange(-60.0, 120.0, 1.0)])
    strip = shapely.buffer(middle, vehicle.width_m / 2 + side, cap_style="flat")
    return bool(shapely.intersects(strip, outlines(o, np.array([k * 0.1]), ROOM_M)[0]))


def stopping(fine, knots, age_s, scene: Scene, config) -> list[str]:
    """One cycle of the plan, then braking at 6 m/s^2 with jerk 12.65: within the plan's length, and free. The same
    with the delay before objects added, no faster than sight allows, and the front ends before what is seen does."""
    speeds, accelerations = derivatives(np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(knots[:, :2], axis=0).T))]))
    cycle_s = config.recovery.cycle_s

    def driven(follows_s, cap=math.inf):
        then = (age_s + follows_s) / 0.5
        planned = float(np.interp(then, np.arange(11), speeds))
        speed = max(min(planned, cap), scene.speed)
        push = max(min(float(np.interp(then, np.arange(11), accelerations)), 3.0), 0.0) if planned < cap else 0.0
        return speed, braked((scene.speed + speed) / 2 * follows_s, speed, push)

    speed, runs = driven(cycle_s)
    run = runs[-1]
    rest = fine[np.arange(51) * 0.1 >= age_s]
    here = np.array([[scene.x, scene.y, scene.heading]])
    line = np.concatenate([here, rest])
    arcs = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line[:, :2], axis=0).T))])
    allowed = config.recovery.overrun_m if speeds[-1] <= config.staleness.stopping_plan_mps + 0.1 else 0.0
    tolerance = STOP_M + 0.02 * run + 2 * abs(scene.speed - speed) * cycle_s
    if run > arcs[-1] + allowed + tolerance and scene.speed > 1.0:
        return ["no room to stop within the plan"]
    keep = np.concatenate([[True], np.diff(arcs) > 1e-6])

    def poses_at(way):
        return np.column_stack([np.interp(way, arcs[keep], line[keep, column]) for column in range(3)])

    follows_s, end = cycle_s + config.collision.delay_s, scene.lane_end - config.fallback.sight_margin_m
    room = end - float(fronts_along(here, scene, config)[0])
    far = driven(follows_s, clipped_to(room, follows_s))[1][-1]
    front = float(fronts_along(poses_at([far]), scene, config)[0]) + max(far - arcs[-1], 0.0)
    if far > 1.0 and front > end + tolerance:
        return ["a stop ends where nothing is seen of the road"]
    standing = Scene(**{**vars(scene), "objects": tuple(o for o in scene.objects if o.kind == "static")})
    return touches(poses_at(runs), standing, config, -2 * STOP_M, "a stop touches")


def clipped_to(room, follows_s):
    """What the model's speed is clipped to: nine tenths of the highest steady one that stops on this way. All messages
    of a scene show the same lane."""
    low, high = 0.0, 80.0
    while high - low > 0.05:
        middle = (low + high) / 2
        low, high = (middle, high) if braked(middle * follows_s, middle, 0.0)[-1] <= room else (low, middle)
    return 0.9 * low


def braked(followed, speed, push):
    """Way at the begin, in the middle and at the end of what is followed, then every 0.1 s to standstill."""
    v, a, run, dt, runs, count = speed, push, followed, 0.01, [0.0, followed * 0.5, followed], 0
    while v > 0.0:
        a = max(a - 12.65 * dt, -6.0)
        after = max(v + a * dt, 0.0)
        run, v, count = run + (v + after) / 2 * dt, after, count + 1
        if count % 10 == 0:
            runs.append(run)
    return [*runs, run]
