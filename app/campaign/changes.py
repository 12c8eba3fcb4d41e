"""What faults do to messages, as small functions: (message, now, memory) -> what is delivered instead.

Every function is made by a factory, so that a row of the table reads as a sentence.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.app.campaign.tamper import Change, Choice, Memory
from onboard_vla.core.cameras import CameraFrame
from onboard_vla.core.clock import Now
from onboard_vla.core.wire import Message

Picture = NDArray[np.uint8]
MILLISECOND_NS = 1_000_000
BLUR_SIGMA_PX = 8.0
"""At a picture's 320 columns; the campaign's smaller pictures get the same share of their width."""
BLUR_WIDTH_PX, BLUR_LEAST_PX = 320, 5.0


def kind(*types: type) -> Choice:
    """All messages of these kinds."""
    return lambda message: isinstance(message, types)


def frames(*cameras: str) -> Choice:
    """All pictures of these cameras; of every camera if none is named."""
    return lambda message: isinstance(message, CameraFrame) and (not cameras or message.camera in cameras)


def dropped(message: Message, now: Now, memory: Memory) -> Sequence[Message]:
    """Nothing arrives."""
    return ()


def dropped_at_random(share: float) -> Change:
    """Each message is lost with this probability."""
    return lambda message, now, memory: () if memory.rng.uniform() < share else (message,)


def dropped_for(silence_ns: int) -> Change:
    """Silence for a time, counted from the onset; then everything is as before."""
    return lambda message, now, memory: () if now.monotonic_ns < memory.onset_ns + silence_ns else (message,)


def fields(**values: object) -> Change:
    """These fields have these values; a callable value gets (message, memory)."""

    def change(message: Any, now: Now, memory: Memory) -> Sequence[Message]:  # noqa: ANN401 - any dataclass message
        given = {name: value(message, memory) if callable(value) else value for name, value in values.items()}
        return (dataclasses.replace(message, **given),)

    return change


def stamped(shift_ns: int) -> Change:
    """The stamp is off by so much."""
    return fields(stamp_ns=lambda message, memory: message.stamp_ns + shift_ns)


def repeated(copies: int) -> Change:
    """Every message arrives so many times."""
    return lambda message, now, memory: (message,) * copies


def replayed(message: Message, now: Now, memory: Memory) -> Sequence[Message]:
    """The first message since the onset arrives again in place of every later one."""
    return (memory.notes.setdefault(f"replayed {type(message).__name__}", message),)


def picture(change: Callable[[Picture], Picture]) -> Change:
    """The picture looks otherwise; stamps and counters go on."""
    return lambda message, now, memory: (dataclasses.replace(message, image=change(message.image)),)


def frozen(message: CameraFrame, now: Now, memory: Memory) -> Sequence[Message]:
    """The same bytes again and again, with fresh stamps."""
    image = memory.notes.setdefault(f"frozen {message.camera}", message.image.copy())
    return (dataclasses.replace(message, image=image),)


def black(image: Picture) -> Picture:
    """No light."""
    return np.zeros_like(image)


def white(image: Picture) -> Picture:
    """Too much light."""
    return np.full_like(image, 255)


def covered(share: float) -> Callable[[Picture], Picture]:
    """An even grey from the left edge on."""

    def change(image: Picture) -> Picture:
        out: Picture = image.copy()
        out[:, : round(share * image.shape[1])] = 60
        return out

    return change


def blurred(image: Picture) -> Picture:
    """A Gaussian blur, as out of focus or with water on the lens."""
    sigma = max(BLUR_SIGMA_PX * image.shape[1] / BLUR_WIDTH_PX, BLUR_LEAST_PX)
    reach = int(3 * sigma)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    out: NDArray[np.float64] = image.astype(np.float64)
    for axis in (0, 1):
        padded = np.pad(out, [(reach, reach) if a == axis else (0, 0) for a in range(3)], mode="edge")
        out = np.apply_along_axis(lambda line: np.convolve(line, kernel, "valid"), axis, padded)
    return out.astype(np.uint8)
