"""Calibration layer by layer: what is in memory does not grow with the number of scenes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from onboard_vla.export.kept_arrays import OnDisk
from onboard_vla.export.scenes import load_scenes
from onboard_vla.export.source import Source

NEEDED = ("config.json", "generation_config.json", "cameras.json", "prompt.json", "codebook.npz", "tokenizer.json")
PEAK = Path(__file__).with_name("calibration_peak.py")
FEW, MANY = 2, 16
KIB = 1024
MARGIN = (MANY - FEW) * 256 * KIB
"""Ids, positions and names take 30 KiB a scene, and collecting garbage shifts peaks by 2.4 MB in all; keys, values and
inputs that stayed took 1.35 MB a scene."""


@pytest.mark.parametrize("decoded", [False, True], ids=["the expert's tokens", "tokens decoded by the model"])
def test_memory_does_not_grow_with_the_scenes(reference_checkpoint, tmp_path, decoded):
    checkpoint, scenes = tmp_path / "checkpoint", tmp_path / "scenes.npz"
    checkpoint.mkdir()
    for name in (*NEEDED, "model.safetensors"):  # without golden scenes and ranges
        shutil.copyfile(reference_checkpoint / name, checkpoint / name)
    with np.load(reference_checkpoint / "golden_scenes.npz") as archive:
        np.savez(scenes, **{name: archive[name] for name in archive.files if not decoded or name != "action_tokens"})

    counts = (1, FEW, MANY)  # the first for what is loaded once
    arguments = [checkpoint, scenes, tmp_path, *counts]
    found = subprocess.run([sys.executable, PEAK, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    _, few, many = map(int, found.stdout.split())
    assert many - few < MARGIN


def test_pictures_that_lie_on_disk_are_those_of_the_file(reference_checkpoint, tmp_path):
    file, assets = reference_checkpoint / "golden_scenes.npz", Source.open(reference_checkpoint).assets
    scenes = load_scenes(file, assets)
    for found, expected in zip(load_scenes(file, assets, OnDisk(tmp_path)), scenes, strict=True):
        assert found.images.keys() == expected.images.keys()
        for camera, images in expected.images.items():
            np.testing.assert_array_equal(found.images[camera], images)
        np.testing.assert_array_equal(found.prompt_ids, expected.prompt_ids)
