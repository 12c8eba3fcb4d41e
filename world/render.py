"""Six-camera pictures: ground by ray casting, everything else as boxes and ellipsoids with a depth buffer."""

from __future__ import annotations

import math
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.cameras import CameraCalibration
from onboard_vla.world.appearance import solids_of
from onboard_vla.world.ground import Ground, lay_ground
from onboard_vla.world.looks import DAY, NIGHT, change_look, lamps_of, require_look
from onboard_vla.world.paint_ground import paint_background
from onboard_vla.world.paint_solids import SOLID_FIELDS, paint_solids
from onboard_vla.world.panorama import paint_panorama
from onboard_vla.world.render_geometry import trace_rays
from onboard_vla.world.scenery import build_scenery, signal_lamps

if TYPE_CHECKING:
    from onboard_vla.world.world import World

SCENERY_REACH_M = 130.0
"""Scenery farther than this is not drawn."""
ACTOR_REACH_M = 170.0
"""Road users farther than this are not drawn."""
LAMP_SLACK_M = np.float32(0.05)
"""Room for lamps to be drawn again, at night, where they were drawn by day."""


@dataclass(frozen=True, eq=False)
class _Stage:
    """What a world looks like apart from its moving parts."""

    ground: Ground
    scenery: NDArray[np.float64]
    azimuth_offset: float
    light: float
    sun_rad: float


class Renderer:
    """Draws pictures into its own buffers. `render` returns views that the next call overwrites: copy to keep.

    Args:
        rig: the cameras.
        look: day, fog, rain or night, see `looks`.

    Raises:
        ConfigurationError: there is no such look.
    """

    def __init__(self, rig: dict[str, CameraCalibration], look: str = DAY) -> None:
        require_look(look)
        self.look = look
        self._rays = {name: trace_rays(camera) for name, camera in rig.items()}
        self._images = {name: np.empty((c.height, c.width, 3), np.uint8) for name, c in rig.items()}
        self._depths = {name: np.empty((c.height, c.width), np.float32) for name, c in rig.items()}
        self._stages: weakref.WeakKeyDictionary[World, _Stage] = weakref.WeakKeyDictionary()
        self._panorama = paint_panorama()

    def render(self, world: World) -> dict[str, NDArray[np.uint8]]:
        """Pictures (H, W, 3) uint8 RGB of all cameras at the world's present instant."""
        stage = self._stage(world)
        vehicle, road, ground = world.vehicle, world.road, stage.ground
        solids = self._solids(world, stage)
        sun = stage.sun_rad - vehicle.heading_rad
        junctions = self._near_junctions(world, ground)
        for name, rays in self._rays.items():
            image, depth = self._images[name], self._depths[name]
            paint_background(
                image,
                depth,
                rays.ground,
                rays.sky,
                vehicle.x_m,
                vehicle.y_m,
                vehicle.heading_rad,
                road.points,
                road.junction_index,
                ground.edges,
                ground.materials,
                ground.lines,
                junctions,
                ground.grid,
                ground.origin,
                self._panorama,
                stage.azimuth_offset,
                stage.light,
            )
            paint_solids(
                image,
                depth,
                rays.directions,
                rays.position,
                rays.projection,
                solids,
                np.float32(math.cos(sun)),
                np.float32(math.sin(sun)),
                np.float32(stage.light),
            )
        if self.look != DAY:
            self._change_look(world, stage)
        return dict(self._images)

    def _change_look(self, world: World, stage: _Stage) -> None:
        shining = self._lamps(world) if self.look == NIGHT else None
        for index, (name, rays) in enumerate(self._rays.items()):
            image, depth = self._images[name], self._depths[name]
            instant = round(world.time_s * 1000) * len(self._rays) + index
            change_look(self.look, image, depth, rays, stage.light, instant)
            if shining is not None:
                depth += LAMP_SLACK_M
                zero, one = np.float32(0.0), np.float32(1.0)
                paint_solids(image, depth, rays.directions, rays.position, rays.projection, shining, zero, zero, one)

    def _stage(self, world: World) -> _Stage:
        stage = self._stages.get(world)
        if stage is None:
            rng = np.random.default_rng([world.seed, 1])
            offset, light, sun = rng.uniform(0.0, 2 * math.pi), rng.uniform(0.86, 1.1), rng.uniform(0.0, 2 * math.pi)
            scenery = build_scenery(world.road, rng)
            stage = _Stage(lay_ground(world.road), scenery, float(offset), float(light), float(sun))
            self._stages[world] = stage
        return stage

    def _near_junctions(self, world: World, ground: Ground) -> NDArray[np.float64]:
        junctions = ground.junctions
        if not len(junctions):
            return junctions
        gap = np.hypot(junctions[:, 0] - world.vehicle.x_m, junctions[:, 1] - world.vehicle.y_m)
        return np.ascontiguousarray(junctions[gap < 220.0])

    def _solids(self, world: World, stage: _Stage) -> NDArray[np.float64]:
        """Everything near, in the ego frame."""
        gap = np.hypot(stage.scenery[:, 1] - world.vehicle.x_m, stage.scenery[:, 2] - world.vehicle.y_m)
        rows: list[tuple[float, ...]] = []
        for actor in world.actors(ACTOR_REACH_M):
            rows += solids_of(actor, world.time_s)
        rows += self._signals(world)
        moving = np.array(rows, np.float64).reshape(-1, SOLID_FIELDS)
        return _in_ego_frame(np.concatenate([moving, stage.scenery[gap < SCENERY_REACH_M]]), world)

    def _lamps(self, world: World) -> NDArray[np.float64]:
        """What shines by itself, in the ego frame."""
        rows = lamps_of(world.actors(ACTOR_REACH_M)) + self._signals(world)
        return _in_ego_frame(np.array(rows, np.float64).reshape(-1, SOLID_FIELDS), world)

    def _signals(self, world: World) -> list[tuple[float, ...]]:
        rows: list[tuple[float, ...]] = []
        right_edge = -world.profile.lane_width_m / 2 - world.profile.shoulder_m
        for junction in world.road.junctions:
            if junction.signal_id is not None and abs(junction.stop_s_m - world.ego_s_m) < SCENERY_REACH_M:
                state = world.programmes[junction.signal_id].state(world.time_s)
                rows += signal_lamps(world.road, junction, state, right_edge)
        return rows


def _in_ego_frame(solids: NDArray[np.float64], world: World) -> NDArray[np.float64]:
    """Turned and moved in place, nearest first so that hidden pixels are rejected early."""
    x, y, heading = world.vehicle.x_m, world.vehicle.y_m, world.vehicle.heading_rad
    cos, sin = math.cos(heading), math.sin(heading)
    dx, dy = solids[:, 1] - x, solids[:, 2] - y
    solids[:, 1], solids[:, 2] = cos * dx + sin * dy, -sin * dx + cos * dy
    yaw_cos, yaw_sin = solids[:, 4].copy(), solids[:, 5].copy()
    solids[:, 4], solids[:, 5] = cos * yaw_cos + sin * yaw_sin, cos * yaw_sin - sin * yaw_cos
    order = np.argsort(np.hypot(solids[:, 1], solids[:, 2]), kind="stable")
    return np.ascontiguousarray(solids[order])
