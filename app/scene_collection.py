"""Collect scenes for `onboard-vla verify`: drives of the expert in worlds that no training has seen.

python -m onboard_vla.app.scene_collection out/scenes.npz --bundle out/int8 --worlds 32
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.bundle_manifest import CameraInput
from onboard_vla.core.errors import OnboardVlaError
from onboard_vla.core.road import COMMANDS
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.prompt import PromptWriter, Tokenizer

FIRST_SEED = 970_000
"""Seeds from here on are used by nothing else."""
PROFILE, SECONDS = "quiet_road", 20.0
ROW_S = 0.5
"""Time between the rows of a recorded drive; the cameras' frame spacing must be the same."""
PADDING = -1

Arrays = dict[str, NDArray[Any]]


def collect(bundle: Bundle, seeds: Sequence[int], seconds: float, profile: str) -> Arrays:
    """Arrays of a scene file (see `export.scenes`): every half second of every drive that has a whole history.

    Raises:
        OnboardVlaError: the bundle's frames are not half a second apart, or its prompt wants other fields.
    """
    from onboard_vla.world.dataset_episode import record_episode
    from onboard_vla.world.dataset_images import ModelPictures
    from onboard_vla.world.render import Renderer
    from onboard_vla.world.rig import default_rig
    from onboard_vla.world.world import World

    manifest = bundle.manifest
    if manifest.frames.spacing_s != ROW_S:
        raise OnboardVlaError(f"frames are {manifest.frames.spacing_s} s apart, recorded drives have {ROW_S} s")
    renderer = Renderer(default_rig())
    pictures = ModelPictures({"cameras": [_entry(camera) for camera in manifest.cameras]})
    drives = [record_episode(World(seed, profile), renderer, pictures, seconds, seed, None) for seed in seeds]
    parts = [_scenes(bundle, drive) for drive in drives if len(drive["speed"]) >= manifest.frames.per_camera]
    ids = [row for part in parts for row in part.pop("prompt_ids")]
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    arrays["prompt_ids"] = np.full((len(ids), max(map(len, ids))), PADDING, np.int64)
    for row, prompt in zip(arrays["prompt_ids"], ids, strict=True):
        row[: len(prompt)] = prompt
    return arrays


def _entry(camera: CameraInput) -> dict[str, Any]:
    crop = dict(zip(("left", "top", "right", "bottom"), camera.crop, strict=True))
    return {"camera": camera.role, "width": camera.width, "height": camera.height, "crop": crop}


def _scenes(bundle: Bundle, drive: Arrays) -> dict[str, Any]:
    manifest = bundle.manifest
    history = manifest.frames.per_camera
    rows = np.arange(history - 1, len(drive["speed"]))
    frames = rows[:, None] + np.arange(1 - history, 1)
    sides = [camera for camera in bundle.cameras if camera != "front"]
    arrays: dict[str, Any] = {"images_front": drive["front"][frames]}
    arrays |= {f"images_{camera}": drive["sides"][frames, index] for index, camera in enumerate(sides)}
    arrays["action_tokens"] = bundle.codebook.encode_batch(drive["poses"][rows])
    scale = manifest.model.vision.tokens_per_second, manifest.model.vision.second_per_grid
    tokenizer = Tokenizer(bundle.path / manifest.tokenizer)
    writer = PromptWriter(bundle.template, tokenizer, manifest.tokens, bundle.grids(), scale)
    arrays["prompt_ids"] = [
        writer.write_fields({"speed": round(float(drive["speed"][i]), 1), "command": COMMANDS[drive["command"][i]]}).ids
        for i in rows
    ]
    return arrays


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; exit status 0 when the file is written."""
    parser = argparse.ArgumentParser(prog="python -m onboard_vla.app.scene_collection", description=__doc__)
    parser.add_argument("out", type=Path, help="file of scenes, .npz")
    parser.add_argument("--bundle", type=Path, required=True, help="bundle whose cameras and prompt are used")
    parser.add_argument("--worlds", type=int, default=32, help="number of drives; 37 scenes each")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="length of a drive")
    parser.add_argument("--profile", default=PROFILE)
    options = parser.parse_args(arguments)
    seeds = range(options.first_seed, options.first_seed + options.worlds)
    try:
        arrays = collect(Bundle.open(options.bundle), seeds, options.seconds, options.profile)
    except OnboardVlaError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    options.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez(options.out, **arrays)  # type: ignore[arg-type]
    print(f"{options.out}: {len(arrays['prompt_ids'])} scenes of {options.worlds} drives")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
