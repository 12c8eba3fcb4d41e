"""The model drives: several worlds in step, one batched plan each 0.2 s that acts 0.2 s later, followed by the gate."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from onboard_vla.core.clock import Now
from onboard_vla.core.road import COMMANDS
from onboard_vla.core.safe_trajectory import SafeTrajectory
from onboard_vla.world.dataset_episode import SAMPLE_STEPS, sample, stack
from onboard_vla.world.dataset_images import ModelPictures
from onboard_vla.world.model_assets import CAMERAS
from onboard_vla.world.train_decode import decode_fast
from onboard_vla.world.train_learner import Learner
from onboard_vla.world.train_samples import Batch
from onboard_vla.world.unsupervised import unsupervised_trajectory

if TYPE_CHECKING:
    from onboard_vla.world.world import World

STEP_S = 0.02
FRAME_STEPS = 25
"""World steps between the frames of one input: 0.5 s."""


@dataclass(frozen=True)
class Pace:
    """World steps between pictures, and between plans; a plan acts one plan period after its newest picture."""

    picture_steps: int
    plan_steps: int


AS_DRIVEN = Pace(5, 10)
"""Cameras at 10 Hz, plans at 5 Hz, as on the vehicle."""
CHEAP = Pace(25, 25)
"""Everything at 2 Hz: drives worse and costs a fifth, which suits recording where the model strays to."""


@dataclass
class Drive:
    """What happened in one episode."""

    seed: int
    seconds: float = 0.0
    progress_m: float = 0.0
    offset_m: float = 0.0
    largest_offset_m: float = 0.0
    collisions: int = 0
    off_road: int = 0
    stopped: int = 0

    @property
    def clean(self) -> bool:
        """No collision at fault, never off the road, no needless stop."""
        return self.collisions == self.off_road == self.stopped == 0


class _Car:
    """One world with its pictures, its gate, and the plan on its way."""

    def __init__(self, world: World, pictures: ModelPictures, seed: int, pace: Pace) -> None:
        from onboard_vla.core.vehicle_gate import VehicleGate

        self.world, self.gate, self.drive = world, VehicleGate(), Drive(seed)
        self._pictures = pictures
        self._between = FRAME_STEPS // pace.picture_steps
        self.kept: deque[dict[str, NDArray[np.uint8]]] = deque(maxlen=3 * self._between + 1)
        self.acting: SafeTrajectory | None = None
        self.coming: SafeTrajectory | None = None
        self.offsets: list[float] = []
        self.rows: list[dict[str, Any]] = []

    def look(self, images: dict[str, NDArray[np.uint8]]) -> None:
        self.kept.append({camera: self._pictures(camera, images[camera]) for camera in self._pictures.cameras})

    def frames(self) -> list[dict[str, NDArray[np.uint8]]]:
        """Four frame sets 0.5 s apart, oldest first; early on the first picture stands for missing ones."""
        return [self.kept[max(len(self.kept) - 1 - back * self._between, 0)] for back in (3, 2, 1, 0)]

    def now(self) -> Now:
        return Now(self.world.time_ns, self.world.time_ns)


def drive(
    learner: Learner,
    profile: str,
    seeds: Sequence[int],
    seconds: float,
    pace: Pace = AS_DRIVEN,
    progress: Callable[[float], None] | None = None,
    keep: Callable[[int, dict[str, NDArray[Any]]], None] | None = None,
) -> list[Drive]:
    """Drive each seed's world for `seconds`, or until the vehicle has left the road or hit something by its own fault.

    `keep` gets each seed's episode with the expert's labels where the model led, as `record_episode` gives them.
    """
    from onboard_vla.world.expert import Expert
    from onboard_vla.world.render import Renderer
    from onboard_vla.world.rig import default_rig
    from onboard_vla.world.world import World

    renderer, pictures = Renderer(default_rig()), ModelPictures(CAMERAS)
    cars = [_Car(World(seed, profile), pictures, seed, pace) for seed in seeds]
    active = list(cars)
    for step in range(round(seconds / STEP_S)):
        if step % pace.picture_steps == 0:
            for car in active:
                car.look(renderer.render(car.world))
                if keep is not None and step % SAMPLE_STEPS == 0:
                    car.rows.append(sample(car.world, Expert(car.world), car.kept[-1]))
        if step % pace.plan_steps == 0:
            plans = _plan(learner, active)
            for car, plan in zip(active, plans, strict=True):
                car.acting, car.coming = car.coming or plan, plan
        for car in active:
            if car.acting is not None:
                car.gate.follow(car.acting, car.now())
            car.world.step(car.gate.control(car.world.ego, car.now()), STEP_S)
            car.offsets.append(abs(car.world.ego_d_m))
        active = [car for car in active if not _over(car)]
        if progress is not None:
            progress((step + 1) * STEP_S / seconds)
        if not active:
            break
    for car in cars if keep is not None else ():
        keep(car.drive.seed, stack(car.rows))  # type: ignore[misc]
    return [_summary(car) for car in cars]


@torch.no_grad()
def _plan(learner: Learner, cars: list[_Car]) -> list[SafeTrajectory]:
    layout, codebook = learner.layout, learner.samples.codebook
    ids = []
    for car in cars:
        speed = round(min(max(car.world.ego.speed_mps, 0.0), 99.9), 1)
        ids.append(layout.prompt_ids(speed, COMMANDS.index(car.world.command)))
    sets = [car.frames() for car in cars]
    front = np.stack([[[s[i]["front"] for i in pair] for pair in ((0, 1), (2, 3))] for s in sets])
    cameras = [camera for camera in layout.prompt.cameras if camera != "front"]
    sides = np.stack([[[[s[i][c] for i in pair] for pair in ((0, 1), (2, 3))] for c in cameras] for s in sets])
    batch = Batch(
        torch.from_numpy(front),
        torch.from_numpy(sides),
        torch.from_numpy(np.stack(ids)),
        torch.zeros(0, dtype=torch.int8),
        np.arange(len(cars)),
    )
    decoded = decode_fast(learner, batch)
    result = []
    for car, actions in zip(cars, decoded.actions, strict=True):
        _, fine = codebook.decode(actions)
        result.append(unsupervised_trajectory(fine, car.world.ego))
    return result


def _over(car: _Car) -> bool:
    return any(v.kind in ("collision", "off_road") and v.at_fault for v in car.world.violations)


def _summary(car: _Car) -> Drive:
    result, found = car.drive, car.world.violations
    result.seconds, result.progress_m = car.world.time_s, car.world.progress_m
    result.offset_m, result.largest_offset_m = float(np.mean(car.offsets)), float(np.max(car.offsets))
    result.collisions = sum(v.kind == "collision" and v.at_fault for v in found)
    result.off_road = sum(v.kind == "off_road" for v in found)
    result.stopped = sum(v.kind == "stopped_without_cause" for v in found)
    return result
