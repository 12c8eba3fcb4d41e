"""Optimisation profiles of a bundle's graphs: the shapes that the runtime gives them.

The key-value cache comes in lengths that are multiples of `PAST_MULTIPLE`. Largest extents agree with each other
(new and past tokens together are the bias's width), or TensorRT warns that profiles contradict themselves.
"""

from __future__ import annotations

from onboard_vla.core.bundle_manifest import BundleManifest
from onboard_vla.export.tensorrt_build import Shape, Shapes
from onboard_vla.runtime.context_length import ContextLength
from onboard_vla.runtime.device_engine import PAST_MULTIPLE
from onboard_vla.runtime.language_model import LEAST_ROWS, rounded_up

STEP_TOKENS = 32
"""Most tokens of a decode pass: the newest and those guessed ahead."""
PREFILL_ROWS = 64
"""Most rows of logits of a prefill: the fork and every action that may be guessed."""


def bundle_profiles(manifest: BundleManifest, length: ContextLength) -> dict[str, list[Shapes]]:
    """Profiles of every graph of a bundle."""
    cameras: dict[str, int] = {}
    for camera in manifest.cameras:
        cameras[camera.vision_graph] = cameras.get(camera.vision_graph, 0) + 1
    pairs = manifest.frames.per_camera // manifest.model.vision.temporal_patch_size
    graphs: dict[str, list[Shapes]] = {name: [vision_profile(count, count * pairs)] for name, count in cameras.items()}
    graphs[manifest.language_graph] = [prefill_profile(length), decode_profile(length)]
    return graphs


def vision_profile(usual: int, most: int) -> Shapes:
    """`usual`: frame pairs that a plan encodes when the older ones are known; `most`: all of them."""
    return lambda _, shape: [(items, *shape[1:]) for items in (1, usual, most)]


def prefill_profile(length: ContextLength) -> Shapes:
    """When the prompt goes in: after nothing, or after the text that is the same in every prompt."""
    known, most = rounded_up(length.text, PAST_MULTIPLE), rounded_up(length.capacity + 1, PAST_MULTIPLE)
    usual = length.prompt - length.text
    return _language(((1, 0), (usual, known), (length.capacity, most)), (1, LEAST_ROWS, PREFILL_ROWS))


def decode_profile(length: ContextLength) -> Shapes:
    """When a few tokens follow a filled cache."""
    filled, most = (rounded_up(count, PAST_MULTIPLE) for count in (length.prompt, length.capacity + 1))
    return _language(((1, 0), (LEAST_ROWS, filled), (STEP_TOKENS, most)), (1, LEAST_ROWS, STEP_TOKENS))


def _language(lengths: tuple[tuple[int, int], ...], rows: Shape) -> Shapes:
    """`lengths`: new and past tokens, least, usual and most."""

    def shapes(name: str, shape: Shape) -> list[Shape]:
        if name in ("embeds", "cos", "sin"):
            return [(new, *shape[1:]) for new, _ in lengths]
        if name == "bias":
            return [(new, past + new) for new, past in lengths]
        if name == "rows":
            return [(count,) for count in rows]
        return [(past, *shape[1:]) for _, past in lengths]

    return shapes
