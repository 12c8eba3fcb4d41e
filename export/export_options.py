"""What an export is asked for, held against the checkpoint before any work: scenes to be judged on, layers to keep."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from onboard_vla.core.errors import ArgumentError, CheckpointError
from onboard_vla.export.activation_ranges import RANGES_FILE, check_fingerprint
from onboard_vla.export.fingerprints import file_hash
from onboard_vla.export.quantisation import AS_PUBLISHED, FP32, QUANTISED, Scaling
from onboard_vla.export.source import CALIBRATION, GOLDEN, Source

SCENES_ADVICE = (
    "give scenes of the deployment (--golden-scenes, --calibration-scenes, or as files beside the weights: "
    "docs/export.md says how to make them), or --unjudged for random pictures, which no vehicle takes"
)


def require_files(*scenes: Path | None) -> None:
    """Hold named files of scenes against the disk.

    Raises:
        CheckpointError: one is not there, or is no file.
    """
    for path in scenes:
        if path is None or path.is_file():
            continue
        found = "is a folder" if path.is_dir() else "is a device or a pipe" if path.exists() else "does not exist"
        raise CheckpointError(f"{path} {found}: expected a file of scenes (docs/export.md)")


def require_scaling(scaling: Scaling, precision: str) -> None:
    """Hold what is said about INT8's scales against what they may be.

    Raises:
        ArgumentError: a number is out of its range, or no layer of an export in `precision` is in INT8.
    """
    if not 0 <= scaling.strength <= 1:
        raise ArgumentError(f"smoothing exponent {scaling.strength:g}: expected 0 to 1")
    if not 0 < scaling.share <= 1:
        raise ArgumentError(f"range share {scaling.share:g}: expected more than 0, at most 1")
    if scaling != AS_PUBLISHED and precision not in QUANTISED:
        raise ArgumentError(f"smoothing exponent and range share are INT8's: an export in {precision} has no scales")


def require_one_origin(precision: str, ranges: Path | None, calibration_scenes: Path | None) -> None:
    """Hold what is said about activation ranges against itself and the precision.

    Raises:
        ArgumentError: ranges are given, and scenes to observe others on, or either of them and no layer has any.
    """
    if ranges is not None and calibration_scenes is not None:
        raise ArgumentError(f"ranges {ranges} and calibration scenes {calibration_scenes}: expected one of the two")
    if ranges is not None and precision not in QUANTISED:
        raise ArgumentError(f"ranges {ranges} are INT8's: an export in {precision} has none")
    if calibration_scenes is not None and precision not in QUANTISED:
        raise ArgumentError(f"calibration scenes {calibration_scenes} are INT8's: an export in {precision} has none")


def require_fitting_ranges(checkpoint: Path, precision: str) -> None:
    """Hold a checkpoint against the ranges beside its weights, if there are some.

    In precisions without ranges, too: what is damaged would be the reference that others are judged by.

    Raises:
        CheckpointError: the ranges cannot be read, or the folder's files are not those that they were made for.
    """
    try:
        check_fingerprint(checkpoint)
    except CheckpointError as error:
        if precision in QUANTISED:
            raise
        raise CheckpointError(
            f"{error}; an export in {precision} takes no ranges: where every file is as it should be, put "
            f"{RANGES_FILE} elsewhere"
        ) from None


def chosen_scales(precision: str, scaling: Scaling, given: Path | None) -> dict[str, Any]:
    """What of a quantised export's scales is not as published, and of which file its ranges are if it was named."""
    if precision not in QUANTISED:
        return {}
    scales = {"smooth_strength": scaling.strength, "range_share": scaling.share}
    published = (AS_PUBLISHED.strength, AS_PUBLISHED.share)
    chosen = {name: value for (name, value), usual in zip(scales.items(), published, strict=True) if value != usual}
    return chosen if given is None else {**chosen, "ranges_of": file_hash(given)}


def unjudged_points(
    source: Source, precision: str, golden_scenes: Path | None, calibration_scenes: Path | None
) -> tuple[str, ...]:
    """What nobody could judge of a bundle that is not float32, in words; nothing where there are real scenes."""
    points = []
    if precision in QUANTISED and not source.has_calibration(calibration_scenes):
        points.append("no calibration scenes (activation ranges of random pictures)")
    if precision != FP32 and not source.has_scenes(golden_scenes, GOLDEN):
        points.append(f"no golden scenes (nothing holds {precision} against float32)")
    return tuple(points)


def judged_on_its_own(source: Source, precision: str, golden: Path | None, calibration: Path | None) -> bool:
    """Whether a quantised export is judged on the very file that it is calibrated on, given or beside the weights."""
    if precision not in QUANTISED or (calibration is None and (source.assets.folder / RANGES_FILE).is_file()):
        return False
    folder = source.assets.folder
    files = [given or folder / own.file for given, own in ((golden, GOLDEN), (calibration, CALIBRATION))]
    return all(file.is_file() for file in files) and file_hash(files[0]) == file_hash(files[1])


def named_layers(source: Source, names: Iterable[str], precision: str) -> frozenset[str]:
    """Linear layers by their names, or by the beginnings of their names.

    Raises:
        ArgumentError: one names no layer, or every layer is in float32 anyway.
    """
    layers, found = frozenset[str]().union(*source.layers().values()), set[str]()
    for name in names:
        if precision == FP32:
            raise ArgumentError(f"{name} is to be kept in float32, and so is every layer of an export in {FP32}")
        here = {layer for layer in layers if layer == name or layer.startswith(f"{name}.")}
        if not here:
            raise ArgumentError(
                f"{name} is no linear layer nor the beginning of one's name: expected such as "
                "text.layers.0.mlp.down_proj, text.layers.0, visual.merger or head"
            )
        found |= here
    return frozenset(found)
