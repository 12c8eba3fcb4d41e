"""Activation ranges of models larger than memory: all scenes through one layer, then through the next.

What flows between layers lies on disk, so memory does not grow with the scenes. Each layer's own quantisation error is
measured on the way (see `step_errors`).
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.export.aside import put
from onboard_vla.export.fed_linears import FedLinears
from onboard_vla.export.kept_tables import bytes_in, gone_on_with
from onboard_vla.export.language_graph import FILE_NAME as LANGUAGE_FILE
from onboard_vla.export.observation import Observations, ObservedLinears
from onboard_vla.export.quantisation import INT8, observe_together
from onboard_vla.export.scenes import Scene
from onboard_vla.export.source import Share, Source
from onboard_vla.export.staging import NoRoomError
from onboard_vla.export.step_errors import PROBED_SCENES, ErrorProbe

Largest = Mapping[str, NDArray[np.float32]]
Errors = Mapping[str, float]
LARGEST, ERROR = "largest/", "error/"
FLOAT_BYTES = 4
PIECE_BYTES = 5
"""Of a weight of the step that is run: in float32, and beside it as quantised to measure the error of that."""
GIB = 1 << 30


def observe_in_pieces(
    source: Source,
    scenes: Sequence[Scene],
    folder: Path,
    embedding: NDArray[Any],
    progress: Callable[[str], Share],
    precision: str = INT8,
    save: Callable[[tuple[Largest, Errors]], object] = lambda _: None,
) -> tuple[Largest, Errors]:
    """Largest magnitudes at the inputs of all layers, and the errors of layers and steps in `precision`.

    Args:
        source: the checkpoint.
        scenes: what is run; their pictures need not be in memory.
        folder: of this calibration alone, on a disk with room; removed in the end. What a killed attempt by the same
            arguments left there is gone on with.
        embedding: the table of embeddings.
        progress: takes a graph's file name, gives what takes in the finished share of it.
        precision: one of `QUANTISED`.
        save: takes what was found, before what led to it is removed.

    Raises:
        NoRoomError: the disk has too little room.
    """
    require_room(source, scenes, folder)
    return gone_on_with(folder, lambda: _observed(source, scenes, folder, embedding, progress, precision), save)


def _observed(
    source: Source,
    scenes: Sequence[Scene],
    folder: Path,
    embedding: NDArray[Any],
    progress: Callable[[str], Share],
    precision: str,
) -> tuple[Largest, Errors]:
    observations, errors = Observations(), dict[str, float]()
    cameras = [camera.vision_graph for camera in source.sizes.cameras]

    def probe(graph: str) -> ErrorProbe:
        inputs = PROBED_SCENES * (1 if graph == LANGUAGE_FILE else cameras.count(graph))
        return ErrorProbe(source, graph, inputs, observations, precision, folder, errors)

    runner = source.runner_in_pieces(
        source.weights,
        ObservedLinears(source.weights, FedLinears(source.weights)),
        folder,
        embedding,
        progress,
        # Along what drivers did in one pass, else the model's own answer, an action a pass.
        runs=1 if all(scene.expert_tokens is not None for scene in scenes) else source.sizes.actions.per_answer,
        observations=observations,
        probes=probe,
        resumable=True,
    )
    return observe_together(runner, observations, scenes), errors


def piece_weights(source: Source) -> list[int]:
    """Weights of the linear layers of every step of every graph."""
    pieces: dict[tuple[str, int], int] = {}
    for graph, names in source.layers().items():
        for name in names:
            at = graph, source.step_of(name)
            pieces[at] = pieces.get(at, 0) + math.prod(source.weights.shape(name))
    return list(pieces.values())


def room_between_layers(source: Source, scenes: Sequence[Scene], *, decoded: bool = False) -> int:
    """Bytes on disk that scenes need on their way through the layers.

    Pictures within the vision encoder; or after it prompts, hidden states and, of scenes that the model has to decode
    (all of them if `decoded`), keys and values; what is remembered for an attempt that goes on: what the encoder saw,
    logits and at most one row of magnitudes a camera at each layer; and the layer that is run.
    """
    text, vision, needed = source.model.text, source.model.vision, 0
    patches = sum(camera.grid_h * camera.grid_w for camera in source.sizes.cameras)
    for scene in scenes:
        tokens = len(scene.prompt_ids) + len(source.sizes.answer.fast_prefix) + source.sizes.actions.per_answer
        width = 2 * text.hidden_size
        if decoded or scene.expert_tokens is None:
            width += 2 * text.layers * text.kv_heads * text.head_dim
        pairs = source.assets.frames.per_camera // vision.temporal_patch_size
        seen = pairs * patches * text.hidden_size // vision.merge_size**2
        needed += FLOAT_BYTES * (max(tokens * width, pairs * patches * vision.hidden_size + seen) + seen)
        needed += FLOAT_BYTES * (1 + source.sizes.actions.per_answer) * text.vocabulary_size
    inputs = sum(source.weights.shape(name)[0] for names in source.layers().values() for name in names)
    remembered = FLOAT_BYTES * inputs * len(scenes) * len(source.sizes.cameras)
    return needed + remembered + PIECE_BYTES * max(piece_weights(source))


def require_room(source: Source, scenes: Sequence[Scene], folder: Path) -> None:
    """Refuse before hours of work what the disk cannot hold between the layers, beside what lies in `folder`.

    Raises:
        NoRoomError: see `room_between_layers`.
    """
    needed = room_between_layers(source, scenes) - bytes_in(folder)
    free = shutil.disk_usage(folder.parent).free
    if needed > free:
        raise NoRoomError(
            f"{folder.parent} has {free / GIB:.1f} GiB free, calibration on {len(scenes)} scenes puts about "
            f"{needed / GIB:.1f} GiB there: take fewer scenes or free some space"
        )


def save_observed(path: Path, found: tuple[Largest, Errors]) -> None:
    """Write what was observed, whole or not at all."""
    arrays = {f"{LARGEST}{name}": values for name, values in found[0].items()}
    arrays |= {f"{ERROR}{name}": np.float32(value) for name, value in found[1].items()}
    part = path.with_suffix(".part.npz")
    np.savez(part, **arrays)  # type: ignore[arg-type]
    put(part, path)


def load_observed(path: Path) -> tuple[Largest, Errors] | None:
    """What `save_observed` wrote; None if there is none, or no longer whole."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            largest = {name[len(LARGEST) :]: archive[name] for name in archive.files if name.startswith(LARGEST)}
            errors = {name[len(ERROR) :]: float(archive[name]) for name in archive.files if name.startswith(ERROR)}
    except Exception:  # zipfile and zlib raise types of their own on damaged archives
        return None
    return largest, errors
