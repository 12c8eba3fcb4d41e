"""Paints boxes and ellipsoids of one camera into picture and depth, compiled.

A solid is a row: style, centre x y z (ego frame), cos and sin of its yaw, half sizes x y z, r g b, extra. The style
decides how its surface is dressed; `extra` lights brake lamps (1) or varies a pattern.
"""

# mypy: disable-error-code="no-untyped-def"
# ruff: noqa: ANN001, ANN201
from __future__ import annotations

import numba
import numpy as np

from onboard_vla.world.paint_ground import speckle
from onboard_vla.world.render_geometry import HAZE_M

PLAIN, BODY, CABIN, CROWN, BUILDING, GLOW, SHADE = 0, 1, 2, 3, 4, 5, 6
SOLID_FIELDS = 13
NEAR_M = 0.15
"""Nothing nearer to the camera than this is drawn."""


@numba.njit(cache=True)
def screen_box(solid, position, projection, width, height):
    """Pixel bounds (column from, to, row from, to) of a solid; empty if it is out of sight."""
    px, py, pw = np.empty(8), np.empty(8), np.empty(8)
    for k in range(8):
        bx = solid[6] if k & 1 else -solid[6]
        by = solid[7] if k & 2 else -solid[7]
        bz = solid[8] if k & 4 else -solid[8]
        x = solid[1] + solid[4] * bx - solid[5] * by - position[0]
        y = solid[2] + solid[5] * bx + solid[4] * by - position[1]
        z = solid[3] + bz - position[2]
        px[k] = projection[0, 0] * x + projection[0, 1] * y + projection[0, 2] * z
        py[k] = projection[1, 0] * x + projection[1, 1] * y + projection[1, 2] * z
        pw[k] = projection[2, 0] * x + projection[2, 1] * y + projection[2, 2] * z
    c0, c1, r0, r1 = 1e9, -1e9, 1e9, -1e9
    for k in range(8):
        if pw[k] >= NEAR_M:
            u, v = px[k] / pw[k], py[k] / pw[k]
            c0, c1, r0, r1 = min(c0, u), max(c1, u), min(r0, v), max(r1, v)
        for bit in (1, 2, 4):
            j = k ^ bit
            if j > k and (pw[k] < NEAR_M) != (pw[j] < NEAR_M):
                t = (NEAR_M - pw[k]) / (pw[j] - pw[k])
                u, v = (px[k] + t * (px[j] - px[k])) / NEAR_M, (py[k] + t * (py[j] - py[k])) / NEAR_M
                c0, c1, r0, r1 = min(c0, u), max(c1, u), min(r0, v), max(r1, v)
    c0, c1 = max(c0 - 0.5, 0.0), min(c1 + 0.5, width)
    r0, r1 = max(r0 - 0.5, 0.0), min(r1 + 0.5, height)
    if c0 >= c1 or r0 >= r1:
        return 0, 0, 0, 0
    return int(c0), min(int(np.ceil(c1)), width), int(r0), min(int(np.ceil(r1)), height)


@numba.njit(cache=True)
def paint_solids(image, depth, directions, position, projection, solids, sun_x, sun_y, light):
    """Draw all solids with a depth test."""
    height, width = depth.shape
    for n in range(solids.shape[0]):
        solid = solids[n]
        c0, c1, r0, r1 = screen_box(solid, position, projection, width, height)
        if c0 == c1:
            continue
        style = int(solid[0])
        cos, sin = np.float32(solid[4]), np.float32(solid[5])
        hx, hy, hz = np.float32(solid[6]), np.float32(solid[7]), np.float32(solid[8])
        dx, dy = np.float32(position[0] - solid[1]), np.float32(position[1] - solid[2])
        ox, oy = cos * dx + sin * dy, -sin * dx + cos * dy
        oz = np.float32(position[2] - solid[3])
        sx, sy = cos * sun_x + sin * sun_y, -sin * sun_x + cos * sun_y
        for row in range(r0, r1):
            for column in range(c0, c1):
                wx, wy, wz = directions[row, column, 0], directions[row, column, 1], directions[row, column, 2]
                vx, vy, vz = cos * wx + sin * wy, -sin * wx + cos * wy, wz
                nx = ny = nz = np.float32(0.0)
                if style == CROWN:
                    ax, ay, az = ox / hx, oy / hy, oz / hz
                    bx, by, bz = vx / hx, vy / hy, vz / hz
                    a = bx * bx + by * by + bz * bz
                    b = ax * bx + ay * by + az * bz
                    root = b * b - a * (ax * ax + ay * ay + az * az - np.float32(1.0))
                    if root < 0.0:
                        continue
                    t = (-b - np.sqrt(root)) / a
                else:
                    # Slabs; rays parallel to a face get a huge but finite inverse.
                    ix = np.float32(1.0) / (vx if abs(vx) > 1e-7 else np.float32(1e-7))
                    iy = np.float32(1.0) / (vy if abs(vy) > 1e-7 else np.float32(1e-7))
                    iz = np.float32(1.0) / (vz if abs(vz) > 1e-7 else np.float32(1e-7))
                    mx, my, mz = abs(ix) * hx, abs(iy) * hy, abs(iz) * hz
                    ex, ey, ez = -ox * ix - mx, -oy * iy - my, -oz * iz - mz
                    t = max(ex, max(ey, ez))
                    if t > min(-ox * ix + mx, min(-oy * iy + my, -oz * iz + mz)):
                        continue
                    if t == ez:
                        nz = np.float32(-1.0) if vz > 0 else np.float32(1.0)
                    elif t == ex:
                        nx = np.float32(-1.0) if vx > 0 else np.float32(1.0)
                    else:
                        ny = np.float32(-1.0) if vy > 0 else np.float32(1.0)
                if t < NEAR_M or t >= depth[row, column]:
                    continue
                x, y, z = ox + t * vx, oy + t * vy, oz + t * vz
                shade = np.float32(0.78) + np.float32(0.22) * (nx * sx + ny * sy)
                if nz > 0:
                    shade = np.float32(1.08)
                r, g, b = np.float32(solid[9]), np.float32(solid[10]), np.float32(solid[11])
                if style == BODY:
                    r, g, b, shade = dress_body(r, g, b, shade, x, y, z, nx, ny, hx, hy, hz, solid[12])
                elif style == CABIN:
                    r, g, b = dress_cabin(r, g, b, x, y, z, nx, ny, nz, hx, hy, hz, solid[12])
                elif style == CROWN:
                    cell = speckle(int((x + 9.0) * 2.2), int((y + z + 30.0) * 2.2) + int(solid[12]))
                    shade = np.float32(0.62) + np.float32(0.25) * (z / hz) + np.float32(0.45) * cell
                elif style == BUILDING:
                    side = x if abs(ny) > 0 else y
                    u, v = (side + 60.0) / 2.8, (z + hz) / 3.0
                    fu, fv = u - np.floor(u), v - np.floor(v)
                    if nz == 0 and 0.28 < fu < 0.72 and 0.35 < fv < 0.8:
                        lit = speckle(int(u) + int(solid[12]), int(v))
                        r = g = np.float32(52.0 + 50.0 * lit)
                        b = np.float32(66.0 + 50.0 * lit)
                elif style in (GLOW, SHADE):
                    shade = np.float32(1.0)
                brightness = shade if style == GLOW else shade * light
                haze = np.float32(1.0) - np.exp(-t / np.float32(HAZE_M))
                haze = haze * haze * (np.float32(0.3) if style == GLOW else np.float32(1.0))
                r, g, b = r * brightness, g * brightness, b * brightness
                depth[row, column] = t
                image[row, column, 0] = np.uint8(min(max(r + haze * (196.0 * light - r), 0.0), 255.0))
                image[row, column, 1] = np.uint8(min(max(g + haze * (206.0 * light - g), 0.0), 255.0))
                image[row, column, 2] = np.uint8(min(max(b + haze * (216.0 * light - b), 0.0), 255.0))


@numba.njit(cache=True, inline="always")
def dress_body(r, g, b, shade, x, y, z, nx, ny, hx, hy, hz, braking):
    """Wheels and sills on the sides, lamps and plates on the ends of a vehicle's lower body."""
    up = z + hz
    if ny != 0:
        for centre in (-0.31 * 2 * hx, 0.31 * 2 * hx):
            if (x - centre) * (x - centre) + (up - 0.28) * (up - 0.28) < 0.115:
                return np.float32(24.0), np.float32(24.0), np.float32(26.0), np.float32(1.0)
    if nx != 0 and up < 0.22:
        r, g, b = np.float32(34.0), np.float32(34.0), np.float32(36.0)
    if nx < 0:
        if abs(y) > 0.52 * hy and up > 0.42 and up < 0.75:
            if braking > 0:
                return np.float32(255.0), np.float32(38.0), np.float32(26.0), np.float32(1.3)
            return np.float32(128.0), np.float32(16.0), np.float32(18.0), np.float32(1.0)
        if abs(y) < 0.28 * hy and up > 0.36 and up < 0.52:
            return np.float32(220.0), np.float32(220.0), np.float32(200.0), np.float32(1.0)
    if nx > 0:
        if abs(y) > 0.58 * hy and up > 0.45 and up < 0.68:
            return np.float32(255.0), np.float32(252.0), np.float32(225.0), np.float32(1.15)
        if abs(y) < 0.5 * hy and up > 0.3 and up < 0.6:
            return np.float32(40.0), np.float32(42.0), np.float32(46.0), np.float32(1.0)
    return r, g, b, shade


@numba.njit(cache=True, inline="always")
def dress_cabin(r, g, b, x, y, z, nx, ny, nz, hx, hy, hz, braking):
    """Windows with pillars, and the third brake lamp."""
    if nz == 0:
        across, half = (y, hy) if nx != 0 else (x, hx)
        if nx < 0 and z > 0.72 * hz:
            if braking > 0 and abs(y) < 0.4 * hy:
                return np.float32(255.0), np.float32(46.0), np.float32(32.0)
            return r, g, b
        if abs(across) < 0.9 * half and z > -0.85 * hz and z < 0.72 * hz:
            if ny != 0 and abs(across) < 0.05 * half:
                return r, g, b
            return np.float32(46.0), np.float32(56.0), np.float32(66.0)
    return r, g, b
