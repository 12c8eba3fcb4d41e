"""Plans along the expert's own drive: each against what the expert then drove and where everybody then was."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard_vla.app.closed_loop import STEP_S, PictureSource
from onboard_vla.app.evaluation.closed_loop_score import BEYOND, WINDOW
from onboard_vla.app.evaluation.hidden_cameras import GREY
from onboard_vla.app.evaluation.rollout import rolled_out
from onboard_vla.app.evaluation.surroundings import driven as expert_drove
from onboard_vla.app.evaluation.surroundings import road_of, traffic_of
from onboard_vla.app.evaluation.trace import Instant, doubt_of, instant_of
from onboard_vla.core.cameras import CAMERAS, FrameSet, Picture
from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.geometry import box_corners, compose, inverse
from onboard_vla.core.plan import Plan
from onboard_vla.core.scoring.contact import overlaps
from onboard_vla.core.scoring.displacement import Displacement, displacement
from onboard_vla.core.scoring.score import epdms, measure, pdms
from onboard_vla.core.scoring.surroundings import Traffic
from onboard_vla.runtime.planner import Planner
from onboard_vla.world.expert import Expert
from onboard_vla.world.scene import lateral_action, longitudinal_action
from onboard_vla.world.unsupervised import unsupervised_trajectory
from onboard_vla.world.world import World

INSTANT_STEPS, FRAME_STEPS = 5, 25
"""World steps between kept instants (0.1 s) and between pictures (0.5 s, the model's spacing)."""
FRAMES = 4
FIRST_S, EVERY_S, HORIZON_S = 2.0, 1.0, 5.0
"""Plans begin once the model's look-back is full, come once a second, and reach this far."""

Array = NDArray[np.float64]
Pictures = deque[tuple[int, dict[str, NDArray[np.uint8]]]]
"""Stamps in ns, and each camera's picture (H, W, 3) RGB."""


@dataclass(frozen=True)
class PlanScore:
    """One plan. `hit_1s` to `hit_5s`: whether its footprint overlaps anyone up to then. `ec` is not in its EPDMS.

    `lateral`, `longitudinal`: whether the plan's meta-action is that of what the expert drove.
    """

    time_s: float
    scenario: str
    demanding: bool
    depth: str
    displacement: Displacement
    hit_1s: bool
    hit_2s: bool
    hit_3s: bool
    hit_5s: bool
    comfortable: bool
    lateral: bool
    longitudinal: bool
    pdms: float
    epdms: float
    spread_m: float
    negative_log_likelihood: float
    slow_probability: float


@dataclass(frozen=True, eq=False)
class Due:
    """An instant at which a plan is asked for: its place among the drive's instants, and the newest pictures."""

    index: int
    time_s: float
    pictures: Pictures


@dataclass(frozen=True)
class _Asked:
    index: int
    world_time_s: float
    plan: Plan


def plan_along(
    world: World,
    planner: Planner,
    renderer: PictureSource,
    seconds: float,
    depths: tuple[str, ...],
    *,
    seen: Collection[str] = CAMERAS,
) -> list[PlanScore]:
    """Drive the expert, ask for plans once a second at each of `depths`, and score them; rejections are left out."""
    instants, asked = list[Instant](), list[_Asked]()
    for due in expert_drive(world, renderer, seconds, instants):
        frames = frame_set(due.pictures, seen)
        for depth in depths:
            plan = planner.plan(frames, world.ego, world.command, len(asked) + 1, depth=depth)
            if isinstance(plan, Plan):
                asked.append(_Asked(due.index, due.time_s, plan))
    return [score_plan(instants, world, item.index, item.plan, item.world_time_s) for item in asked]


def expert_drive(world: World, renderer: PictureSource, seconds: float, instants: list[Instant]) -> Iterator[Due]:
    """Drive the expert and fill `instants` up to the last plan's horizon; the world stands still at what is due."""
    expert, pictures = Expert(world), Pictures(maxlen=FRAMES)
    last_s = FIRST_S + seconds
    for step in range(round((last_s + HORIZON_S) / STEP_S) + 1):
        time_s = step * STEP_S
        if step % INSTANT_STEPS == 0:
            instants.append(instant_of(world, expert, None))
        if step % FRAME_STEPS == 0 and time_s < last_s:
            taken = {role: image.copy() for role, image in renderer.render(world).items()}
            pictures.append((world.time_ns, taken))
            due = time_s >= FIRST_S and round((time_s - FIRST_S) / STEP_S) % round(EVERY_S / STEP_S) == 0
            if due and len(pictures) == FRAMES:
                yield Due(len(instants) - 1, time_s, pictures)
        world.step(expert.control(), STEP_S)


def frame_set(pictures: Pictures, seen: Collection[str] = CAMERAS) -> FrameSet:
    """The newest pictures as the planner takes them; those of cameras that it is not to see are one even grey."""
    stamps = tuple(stamp for stamp, _ in pictures)
    images: dict[str, tuple[Picture, ...]] = {}
    for role in pictures[-1][1]:
        taken = [table[role] for _, table in pictures]
        images[role] = tuple(image if role in seen else np.full_like(image, GREY) for image in taken)
    return FrameSet(stamps[-1], images, dict.fromkeys(images, stamps))


def score_plan(instants: list[Instant], world: World, index: int, plan: Plan, time_s: float) -> PlanScore:
    """Hold one plan against the 5 s that followed its instant."""
    here, vehicle = instants[index], VehicleGeometry()
    origin = np.array([here.ego.x_m, here.ego.y_m, here.ego.heading_rad])
    future = instants[index : index + round(HORIZON_S / 0.1) + 1]
    driven = compose(inverse(origin), np.array([[i.ego.x_m, i.ego.y_m, i.ego.heading_rad] for i in future]))
    every = round(plan.step_s / 0.1)
    poses = np.asarray(plan.poses, np.float64)
    truth = driven[every::every][: len(poses)]
    fine = np.vstack([np.zeros(3), np.asarray(plan.fine_poses, np.float64)])
    hits = first_hit_s(compose(origin, fine), traffic_of(future), vehicle)
    motion = rolled_out(unsupervised_trajectory(plan.fine_poses, here.ego), here.ego)
    part = instants[index : index + WINDOW + 1 + BEYOND]
    road = road_of(world, here.ego_s_m, [i.ego.stamp_ns for i in part[: WINDOW + 1]])
    own = measure(motion, traffic_of(part), road, vehicle)
    expert = measure(expert_drove([i.ego for i in part[: WINDOW + 1]]), traffic_of(part), road, vehicle)
    doubt, speed = doubt_of(plan), here.ego.speed_mps
    return PlanScore(
        time_s=round(time_s, 1),
        scenario=here.expert.scene.intent,
        demanding=here.expert.demanding,
        depth=plan.depth,
        displacement=displacement(poses, truth, plan.step_s),
        hit_1s=hits <= 1.0,
        hit_2s=hits <= 2.0,
        hit_3s=hits <= 3.0,
        hit_5s=hits <= HORIZON_S,
        comfortable=own.comfort == 1.0,
        lateral=lateral_action(float(poses[-1, 2])) == lateral_action(float(truth[-1, 2])),
        longitudinal=action_along(poses, speed, plan.step_s) == action_along(truth, speed, plan.step_s),
        pdms=pdms(own, expert),
        epdms=epdms(own, expert, None, expert),
        spread_m=doubt.spread_m,
        negative_log_likelihood=doubt.negative_log_likelihood,
        slow_probability=doubt.slow_probability,
    )


def first_hit_s(placed: Array, traffic: Traffic, vehicle: VehicleGeometry) -> float:
    """Time of the first overlap of a plan's footprint with anyone; infinite if none.

    `placed`: (T, 3) poses every 0.1 s, the vehicle's own at the instant of the plan first. `traffic`: from that instant
    on. Who is touched then is left out.
    """
    direction = np.stack([np.cos(placed[:, 2]), np.sin(placed[:, 2])], axis=1)
    centres = placed[:, :2] + vehicle.centre_offset_m * direction
    own = box_corners(centres, placed[:, 2], vehicle.length_m, vehicle.width_m)
    touching = overlaps(own, traffic.corners()[: len(own)])
    when = np.flatnonzero(touching[:, ~touching[0]].any(axis=1))
    return float(0.1 * when[0]) if len(when) else float("inf")


def action_along(poses: Array, speed_mps: float, step_s: float) -> str:
    """What poses (T, 3) every `step_s` do along the road: from the speed now, around 3 s, and over the last step."""
    steps = np.hypot(*np.diff(np.vstack([np.zeros(2), poses[:, :2]]), axis=0).T) / step_s
    third = round(3.0 / step_s)
    return longitudinal_action(speed_mps, float(steps[third - 1 : third + 1].mean()), float(steps[-1]))


def as_row(score: PlanScore) -> dict[str, object]:
    """One flat JSON object."""
    row = dataclasses.asdict(score)
    return {**row.pop("displacement"), **row}
