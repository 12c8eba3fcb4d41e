"""Samples placed before signals by lot: distance, speed and the signal's phase say nothing about one another.

On a drive, who stands before a signal stands because it is red: features that show standing seem to show the signal.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from onboard_vla.app.closed_loop import PictureSource
from onboard_vla.app.measures.samples import FRAME_S, Sample, sample_of
from onboard_vla.core.cameras import CAMERAS
from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.world.dataset_episode import FRAMES, sample, stack
from onboard_vla.world.expert import Expert
from onboard_vla.world.world import World

DISTANCE_M = (4.0, 50.0)
"""From the vehicle's front to the stop line."""
ASIDE_M, SPEED_MPS = (-0.3, 0.3), (0.0, 12.0)
GEOMETRY = VehicleGeometry()
FRONT_M = GEOMETRY.centre_offset_m + GEOMETRY.length_m / 2
"""From the rear axle to the vehicle's front."""


def staged_before_signals(seed: int, profile: str, renderer: PictureSource) -> list[Sample]:
    """One sample before each signal on a world's route; the traffic stays where the world begins with it."""
    rng, world, found = np.random.default_rng((seed, 2)), World(seed, profile), []
    expert = Expert(world)
    for junction in world.road.junctions:
        if junction.signal_id is None:
            continue
        distance, aside, speed = rng.uniform(*DISTANCE_M), rng.uniform(*ASIDE_M), rng.uniform(*SPEED_MPS)
        programme = world.programmes[junction.signal_id]
        phase = float(rng.uniform(0.0, programme.cycle_s))
        world.programmes[junction.signal_id] = replace(programme, offset_s=phase)
        rows = []
        for steps_before in reversed(range(FRAMES)):
            at = junction.stop_s_m - distance - FRONT_M - speed * FRAME_S * steps_before
            world.place_ego(at, aside, speed_mps=speed)
            images = renderer.render(world)
            pictures = {camera: np.array(images[camera], np.uint8) for camera in CAMERAS}
            rows.append(sample(world, expert, pictures))
        found.append(sample_of(stack(rows), FRAMES - 1))
    return found
