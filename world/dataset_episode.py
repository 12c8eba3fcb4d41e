"""Record one episode: the expert drives, disturbances push it off its way, labels are the expert's plans from there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.control import Control
from onboard_vla.core.road import COMMANDS, GREEN
from onboard_vla.world.dataset_images import ModelPictures

if TYPE_CHECKING:
    from onboard_vla.world.expert import Expert
    from onboard_vla.world.render import Renderer
    from onboard_vla.world.scene import SceneDescription
    from onboard_vla.world.world import StartOffset, World

STEP_S = 0.02
SAMPLE_STEPS = 25
"""World steps per recorded frame set: 0.5 s, the spacing of the model's frames."""
FRAMES = 4
SIGHT_POINTS_M = (10.0, 20.0, 30.0)
LEAD_SIGHT_M = 50.0
SIGNAL_SIGHT_M = 60.0
AUXILIARY = (
    "lane_offset_m",
    "heading_error_rad",
    *(f"path_{d:g}m_left_m" for d in SIGHT_POINTS_M),
    "lead_nearness",
    "lead_closing_mps",
    "signal_red",
    "signal_near",
)
"""Dense truths that training regresses so that the vision tower learns to see; never an input of the model."""


@dataclass(frozen=True)
class Disturbance:
    """How often and how hard the driven path is pushed. Shares and rates per second."""

    steering_rate: float = 0.4
    steering_heading_rad: tuple[float, float] = (0.03, 0.25)
    speed_rate: float = 0.12
    stop_share: float = 0.25
    largest_offset_m: float = 1.2
    start_lateral_m: float = 1.2
    start_heading_rad: float = 0.1
    start_standing_share: float = 0.15
    start_speed_factor: tuple[float, float] = (0.3, 1.2)


def disturbed_start(seed: int, how: Disturbance) -> StartOffset:
    """Where a disturbed episode starts relative to the lane."""
    from onboard_vla.world.world import StartOffset

    rng = np.random.default_rng((seed, 1))
    factor = 0.0 if rng.random() < how.start_standing_share else rng.uniform(*how.start_speed_factor)
    lateral = rng.uniform(-how.start_lateral_m, how.start_lateral_m)
    return StartOffset(lateral, rng.uniform(-how.start_heading_rad, how.start_heading_rad), float(factor))


class _Pushes:
    """Random pulses on steering and acceleration; between them the expert recovers."""

    def __init__(self, rng: np.random.Generator, how: Disturbance) -> None:
        self._rng, self._how = rng, how
        self._steering: tuple[int, float] | None = None
        self._speed: tuple[int, float] | None = None

    def apply(self, control: Control, speed_mps: float, offset_m: float, lead_gap_m: float) -> Control:
        acceleration, curvature = control.acceleration_mps2, control.curvature_per_m
        rng, how = self._rng, self._how
        if self._steering is None and speed_mps > 2.0 and rng.random() < how.steering_rate * STEP_S:
            seconds = rng.uniform(0.5, 1.4)
            heading = rng.uniform(*how.steering_heading_rad) * rng.choice((-1.0, 1.0))
            bend = heading / (max(speed_mps, 3.0) * seconds)
            self._steering = (round(seconds / STEP_S), curvature + float(np.clip(bend, -0.05, 0.05)))
        if self._steering is not None:
            left, curvature = self._steering
            self._steering = (left - 1, curvature) if left > 1 and abs(offset_m) < how.largest_offset_m else None
        if self._speed is None and rng.random() < how.speed_rate * STEP_S:
            stop = rng.random() < how.stop_share
            self._speed = (round(rng.uniform(1.0, 3.0) / STEP_S), -4.0 if stop else float(rng.uniform(-2.5, 1.5)))
        if self._speed is not None:
            left, pushed = self._speed
            acceleration = min(pushed, acceleration) if lead_gap_m < SAFE_PUSH_GAP_M else pushed
            self._speed = (left - 1, pushed) if left > 1 else None
        return Control(acceleration, curvature)


SAFE_PUSH_GAP_M = 14.0
"""Nearer than this to the vehicle ahead the episode is never pushed faster than the expert drives."""


def record_episode(
    world: World, renderer: Renderer, pictures: ModelPictures, seconds: float, seed: int, how: Disturbance | None
) -> dict[str, NDArray[Any]]:
    """Arrays of T frame sets, one each 0.5 s.

    `front` (T, H, W, 3) and `sides` (T, 5, h, w, 3) uint8; `poses` (T, 10, 3) float32, the expert's plan;
    `speed` (T,) float32; `command` (T,) int8, index in COMMANDS; `demanding` (T,) bool; `auxiliary` (T, A) float32;
    `reasoning` (T,) text; `ego` (T, 3) float64, pose in the odometry frame. `how`: None drives undisturbed.
    """
    from onboard_vla.world.expert import Expert

    rng = np.random.default_rng(seed)
    expert, rows = Expert(world), []
    pushes = _Pushes(rng, how) if how is not None else None
    for step in range(round(seconds / STEP_S)):
        if step % SAMPLE_STEPS == 0:
            images = renderer.render(world)
            rows.append(
                sample(world, expert, {camera: pictures(camera, images[camera]) for camera in pictures.cameras})
            )
        control = expert.control()
        if pushes is not None:
            control = pushes.apply(control, world.ego.speed_mps, _offset_ahead(world), world.lead()[0])
        world.step(control, STEP_S)
        if any(v.kind in ("collision", "off_road") for v in world.violations):
            break
    return stack(rows)


def auxiliary_truth(world: World) -> NDArray[np.float32]:
    """The values named by AUXILIARY, from the world's truth; lead and signal are faded out at their sight distances."""
    truth = world.truth_for_learning()
    near = max(0.0, 1 - max(truth.lead_gap_m, 0.0) / LEAD_SIGHT_M)
    closing = world.ego.speed_mps - truth.lead_speed_mps if near > 0 else 0.0
    signal_near = 0.0 if truth.signal is None else max(0.0, 1 - max(truth.signal_distance_m, 0.0) / SIGNAL_SIGHT_M)
    red = float(signal_near > 0 and truth.signal != GREEN)
    values = [truth.lane_offset_m, truth.heading_error_rad, *truth.path_lateral_m]
    return np.array([*values, near, float(np.clip(closing, -10.0, 10.0)), red, signal_near], np.float32)


def _offset_ahead(world: World) -> float:
    """Lateral offset that the present heading leads to within the time that recovery takes to bite."""
    return world.ego_d_m + world.heading_error_rad * world.ego.speed_mps * RECOVERY_S


RECOVERY_S = 0.7


def stack(rows: list[dict[str, Any]]) -> dict[str, NDArray[Any]]:
    """An episode's arrays from its rows."""
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def sample(world: World, expert: Expert, sized: dict[str, NDArray[np.uint8]]) -> dict[str, Any]:
    """One row of an episode, with pictures already at the model's size."""
    plan = expert.plan()
    return {
        "front": sized["front"],
        "sides": np.stack([image for camera, image in sized.items() if camera != "front"]),
        "poses": np.asarray(plan.poses, np.float32),
        "speed": np.float32(world.ego.speed_mps),
        "command": np.int8(COMMANDS.index(world.command)),
        "demanding": np.bool_(plan.demanding),
        "auxiliary": auxiliary_truth(world),
        "reasoning": np.array(reasoning_text(plan.scene), dtype="U120"),
        "ego": np.array([world.ego.x_m, world.ego.y_m, world.ego.heading_rad]),
    }


def reasoning_text(scene: SceneDescription) -> str:
    """The expert's scene description as one line in small words."""
    seen = "".join(f"{found.kind} at {max(0, round(found.distance_m))} m. " for found in scene.critical[:1])
    return f"{scene.scene}. {seen}{scene.intent}: {scene.lateral}, {scene.longitudinal}."
