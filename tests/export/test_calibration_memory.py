"""Calibration layer by layer: what is in memory does not grow with the number of scenes."""

from __future__ import annotations

import shutil
import tracemalloc

import numpy as np
import pytest

from onboard_vla.export import source
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.export.kept_arrays import OnDisk
from onboard_vla.export.scenes import load_scenes
from onboard_vla.export.source import Source

NEEDED = ("config.json", "generation_config.json", "cameras.json", "prompt.json", "codebook.npz", "tokenizer.json")
FEW, MANY = 2, 16
KIB = 1024
MARGIN = (MANY - FEW) * 256 * KIB
"""Ids, positions and names take 30 KiB a scene, and collecting garbage shifts peaks by 2.4 MB in all; keys, values and
inputs that stayed took 1.35 MB a scene."""


@pytest.fixture
def checkpoint(reference_checkpoint, tmp_path, monkeypatch):
    """Without golden scenes and ranges, and taken for one that is larger than memory."""
    monkeypatch.setattr(source, "LARGE_WEIGHTS", 0)
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    for name in (*NEEDED, "model.safetensors"):
        shutil.copyfile(reference_checkpoint / name, folder / name)
    return folder


@pytest.fixture
def peak(checkpoint, reference_checkpoint, tmp_path):
    """Largest memory that is allocated while ranges are observed on so many scenes."""

    def measured(count, decoded):
        with np.load(reference_checkpoint / "golden_scenes.npz") as archive:
            arrays = {name: archive[name] for name in archive.files}
        arrays = {name: np.resize(array, (count, *array.shape[1:])) for name, array in arrays.items()}
        if decoded:
            del arrays["action_tokens"]
        file = tmp_path / f"{count}.npz"
        np.savez(file, **arrays)
        del arrays
        peaks = []

        def watch(stage, share):
            if stage == "smooth":
                raise KeyboardInterrupt
            if stage.startswith("calibrate"):
                peaks.append(tracemalloc.get_traced_memory()[1])
                tracemalloc.reset_peak()

        tracemalloc.start()
        try:
            with pytest.raises(KeyboardInterrupt):
                export_bundle(
                    checkpoint, tmp_path / f"out{count}", progress=watch, calibration_scenes=file, unjudged=True
                )
        finally:
            tracemalloc.stop()
        return max(peaks[1:])  # the first holds what was before

    return measured


@pytest.mark.parametrize("decoded", [False, True], ids=["the expert's tokens", "tokens decoded by the model"])
def test_memory_does_not_grow_with_the_scenes(peak, decoded):
    peak(1, decoded)  # what is loaded once
    few, many = peak(FEW, decoded), peak(MANY, decoded)
    assert many - few < MARGIN


def test_pictures_that_lie_on_disk_are_those_of_the_file(reference_checkpoint, tmp_path):
    file, assets = reference_checkpoint / "golden_scenes.npz", Source.open(reference_checkpoint).assets
    scenes = load_scenes(file, assets)
    for found, expected in zip(load_scenes(file, assets, OnDisk(tmp_path)), scenes, strict=True):
        assert found.images.keys() == expected.images.keys()
        for camera, images in expected.images.items():
            np.testing.assert_array_equal(found.images[camera], images)
        np.testing.assert_array_equal(found.prompt_ids, expected.prompt_ids)
