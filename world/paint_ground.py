"""Paints ground and sky of one camera, compiled.

Markings are filtered over the pixel's footprint, so that they neither vanish nor flicker at a distance.
"""

# mypy: disable-error-code="no-untyped-def"
# ruff: noqa: ANN001, ANN201
from __future__ import annotations

import numba
import numpy as np

from onboard_vla.world.ground import ASPHALT, CELL_M, GRAVEL, KERB, SHOULDER, SIDEWALK
from onboard_vla.world.render_geometry import NEVER_M
from onboard_vla.world.road import CROSSING_REACH_M


@numba.njit(cache=True, inline="always")
def speckle(x, y):
    """A value in [0, 1) that looks random, from two integers."""
    h = np.uint32(x) * np.uint32(374761393) + np.uint32(y) * np.uint32(668265263)
    h = (h ^ (h >> np.uint32(13))) * np.uint32(1274126177)
    return np.float32((h ^ (h >> np.uint32(16))) & np.uint32(0xFFFF)) * np.float32(1.0 / 65536.0)


@numba.njit(cache=True, inline="always")
def covered(position, footprint, low, high):
    """Share of [position - footprint/2, position + footprint/2] inside [low, high]."""
    a = max(position - footprint * 0.5, low)
    b = min(position + footprint * 0.5, high)
    return max(b - a, 0.0) / footprint


@numba.njit(cache=True, inline="always")
def dash_share(s, footprint, dash, gap):
    """Share of the footprint along the road that lies on dashes."""
    period = dash + gap
    if footprint > period:
        return dash / period
    a, b = s - footprint * 0.5, s + footprint * 0.5
    na, nb = np.floor(a / period), np.floor(b / period)
    below = na * dash + min(a - na * period, dash)
    above = nb * dash + min(b - nb * period, dash)
    return (above - below) / footprint


@numba.njit(cache=True)
def paint_background(
    image, depth, ground, sky, x0, y0, heading, points, junction_index, edges, materials, lines, junctions, grid,
    origin, panorama, azimuth_offset, light,
):  # fmt: skip
    """Fill `image` (H, W, 3) uint8 and `depth` (H, W) float32, metres along the ray."""
    cos, sin = np.cos(heading), np.sin(heading)
    sky_rows, sky_columns = panorama.shape[0], panorama.shape[1]
    turn = np.float32(sky_columns / (2.0 * np.pi))
    haze_r, haze_g, haze_b = 196.0 * light, 206.0 * light, 216.0 * light
    last = points.shape[0] - 2
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            distance = ground[row, column, 2]
            if distance >= NEVER_M:
                depth[row, column] = NEVER_M
                u = int((sky[row, column, 0] + heading + azimuth_offset) * turn) % sky_columns
                v = int(sky[row, column, 1] * 110.0) + 8
                v = min(max(v, 0), sky_rows - 1)
                image[row, column, 0] = np.uint8(min(panorama[v, u, 0] * light, 255.0))
                image[row, column, 1] = np.uint8(min(panorama[v, u, 1] * light, 255.0))
                image[row, column, 2] = np.uint8(min(panorama[v, u, 2] * light, 255.0))
                continue
            depth[row, column] = distance
            ex, ey = ground[row, column, 0], ground[row, column, 1]
            x = x0 + cos * ex - sin * ey
            y = y0 + sin * ex + cos * ey
            cx = cos * ground[row, column, 3] - sin * ground[row, column, 4]
            cy = sin * ground[row, column, 3] + cos * ground[row, column, 4]
            rx = cos * ground[row, column, 5] - sin * ground[row, column, 6]
            ry = sin * ground[row, column, 5] + cos * ground[row, column, 6]
            size = max(abs(cx) + abs(cy), abs(rx) + abs(ry))
            fine = min(0.16 / size, 1.0)
            coarse = min(2.5 / size, 1.0)

            material, s, d, across, along, i = 0, 0.0, 1e3, 1.0, 1.0, -1
            gc, gr = int((x - origin[0]) / CELL_M), int((y - origin[1]) / CELL_M)
            if 0 <= gr < grid.shape[0] and 0 <= gc < grid.shape[1]:
                i = grid[gr, gc]
            if i >= 0:
                i = min(i, last)
                tx = ty = t = 0.0
                for _ in range(6):
                    tx, ty = points[i + 1, 0] - points[i, 0], points[i + 1, 1] - points[i, 1]
                    t = tx * (x - points[i, 0]) + ty * (y - points[i, 1])
                    step = int(np.floor(t))
                    if step == 0:
                        break
                    j = min(max(i + step, 0), last)
                    if j == i:
                        break
                    i = j
                s = i + t
                d = -ty * (x - points[i, 0]) + tx * (y - points[i, 1])
                across = max(abs(tx * cy - ty * cx) + abs(tx * ry - ty * rx), 1e-3)
                along = max(abs(tx * cx + ty * cy) + abs(tx * rx + ty * ry), 1e-3)
                if 0 < i < last:
                    k = 0
                    while k < edges.shape[0] and d > edges[k]:
                        k += 1
                    material = materials[k]
            on_route = material in (ASPHALT, SHOULDER)
            in_crossing, zebra = False, 0.0
            for k in range(junctions.shape[0]):
                jx, jy = x - junctions[k, 0], y - junctions[k, 1]
                if jx * jx + jy * jy > CROSSING_REACH_M * CROSSING_REACH_M:
                    continue
                u = jx * junctions[k, 2] + jy * junctions[k, 3]
                v = -jx * junctions[k, 3] + jy * junctions[k, 2]
                half = junctions[k, 4]
                over_u, over_v = abs(u) - half, abs(v) - half
                if over_u < 0.0 or over_v < 0.0 or over_u + over_v < 4.0:
                    if i < 0 or junction_index[i] >= 0 or not on_route:
                        material = ASPHALT
                        in_crossing = True
                        if (over_u < 0.0 and over_v > 5.0) or (over_v < 0.0 and over_u > 5.0):
                            off, run = (u, v) if over_u < 0.0 else (v, u)
                            zebra = covered(off, size, -0.08, 0.08) * dash_share(run, size, 3.0, 3.0)
                    if -3.8 < u + half < -1.2 and over_v < -0.4:
                        zebra = dash_share(v, size, 0.5, 0.5)

            if material == ASPHALT:
                grain = (speckle(int(x * 8.0), int(y * 8.0)) - 0.5) * 14.0 * fine
                patch = (speckle(int(s * 0.12), int((d + 40.0) * 0.5)) - 0.5) * 9.0
                r = g = b = 92.0 + grain + patch
                if in_crossing:
                    r = g = b = 94.0 + grain
            elif material == SHOULDER:
                grain = (speckle(int(x * 8.0), int(y * 8.0)) - 0.5) * 18.0 * fine
                r, g, b = 112.0 + grain, 109.0 + grain, 104.0 + grain
            elif material == GRAVEL:
                grain = (speckle(int(x * 6.0), int(y * 6.0)) - 0.5) * 50.0 * fine
                r, g, b = 146.0 + grain, 132.0 + grain, 108.0 + grain
            elif material == SIDEWALK:
                grain = (speckle(int(s * 1.0), int(d * 1.0 + 60.0)) - 0.5) * 16.0
                r, g, b = 158.0 + grain, 154.0 + grain, 150.0 + grain
            elif material == KERB:
                r = g = b = 186.0
            else:
                grain = (speckle(int(x * 5.0), int(y * 5.0)) - 0.5) * 40.0 * fine
                patch = (speckle(int(np.floor(x * 0.35)), int(np.floor(y * 0.35))) - 0.5) * 22.0 * coarse
                field = (speckle(int(np.floor(x * 0.03)), int(np.floor(y * 0.03))) - 0.5) * 26.0
                r, g, b = 92.0 + grain + patch + field, 122.0 + grain + patch + 0.4 * field, 58.0 + 0.6 * grain + patch

            if on_route and not in_crossing and junction_index[i] < 0:
                for k in range(lines.shape[0]):
                    half = lines[k, 1] * 0.5
                    if abs(d - lines[k, 0]) > half + across:
                        continue
                    share = covered(d, across, lines[k, 0] - half, lines[k, 0] + half)
                    if share > 0.0 and lines[k, 2] > 0.0:
                        share *= dash_share(s, along, lines[k, 2], lines[k, 3])
                    r += share * (lines[k, 4] - r)
                    g += share * (lines[k, 5] - g)
                    b += share * (lines[k, 6] - b)
                for k in range(junctions.shape[0]):
                    if abs(s - junctions[k, 5]) < 1.0 + along:
                        share = covered(s, along, junctions[k, 5] - 0.1, junctions[k, 5] + 0.4)
                        share *= covered(d, across, junctions[k, 6], junctions[k, 7])
                        r += share * (228.0 - r)
                        g += share * (228.0 - g)
                        b += share * (222.0 - b)
            if zebra > 0.0:
                r += zebra * (224.0 - r)
                g += zebra * (224.0 - g)
                b += zebra * (218.0 - b)
            haze = ground[row, column, 7]
            image[row, column, 0] = np.uint8(min(max(r * light + haze * (haze_r - r * light), 0.0), 255.0))
            image[row, column, 1] = np.uint8(min(max(g * light + haze * (haze_g - g * light), 0.0), 255.0))
            image[row, column, 2] = np.uint8(min(max(b * light + haze * (haze_b - b * light), 0.0), 255.0))
