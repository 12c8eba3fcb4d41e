"""Pictures reach the encoder as the same patches whatever prepares them, at any size, from any number of threads."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from onboard_vla.core.errors import BundleError, FrameError
from onboard_vla.kernels.images import ROW
from onboard_vla.kernels.numpy_forms import NumpyForms
from onboard_vla.kernels.reference_images import crop_and_resize, normalisation_table, patches_of_pair
from onboard_vla.runtime.patches import PatchMaker
from onboard_vla.runtime.vision import VisionEncoder
from onboard_vla.runtime.vision_cache import FramePair

TABLE = normalisation_table((0.48, 0.46, 0.41), (0.27, 0.26, 0.28))
CAMERAS = {
    "front": SimpleNamespace(crop=(0.125, 0.25, 0.875, 0.97), width=168, height=112),
    "back": SimpleNamespace(crop=(0.0, 0.1, 1.0, 1.0), width=168, height=112),
}


def pairs(height=252, width=448, count=2):
    rng = np.random.default_rng(height)
    return [
        FramePair(role, slot, (0, 1), tuple(rng.integers(0, 256, (height, width, 3), np.uint8) for _ in range(2)))
        for role in CAMERAS
        for slot in range(count)
    ]


def expected(pair):
    camera = CAMERAS[pair.camera]
    return patches_of_pair(*(crop_and_resize(p, camera.crop, camera.width, camera.height) for p in pair.images), TABLE)


def write(maker, wanted):
    out = np.full((len(wanted), 96, ROW), np.nan, np.float32)
    maker.write(wanted, out)
    return out


@pytest.mark.parametrize("threads", [1, 3])
def test_pairs_give_the_references_patches_also_after_the_pictures_changed_size(form, threads):
    maker = PatchMaker(CAMERAS, TABLE, threads, form)
    for height, width in ((252, 448), (300, 400), (252, 448)):
        wanted = pairs(height, width)

        np.testing.assert_array_equal(write(maker, wanted), np.stack([expected(pair) for pair in wanted]))


def test_any_part_of_the_pairs_can_be_asked_for(form):
    maker, wanted = PatchMaker(CAMERAS, TABLE, form=form), pairs()
    for part in (wanted[1:2], wanted[2:], wanted):
        np.testing.assert_array_equal(write(maker, part), np.stack([expected(pair) for pair in part]))


@pytest.mark.parametrize("threads", [1, 2])
def test_a_picture_that_is_no_picture_is_refused(form, threads):
    maker, wanted = PatchMaker(CAMERAS, TABLE, threads, form), pairs()
    bad = FramePair("front", 0, (0, 1), (np.zeros((252, 448, 4), np.uint8),) * 2)
    with pytest.raises(FrameError, match="expected"):
        maker.write([*wanted[1:], bad], np.zeros((4, 96, ROW), np.float32))


def test_one_kernel_is_kept_for_each_camera_and_slot_however_often_sizes_change():
    maker = PatchMaker(CAMERAS, TABLE)
    for height in range(250, 258):
        write(maker, pairs(height))

    assert len(maker._kernels) == 4


def test_what_was_asked_for_runs():
    class Counting(NumpyForms):
        calls = 0

        def patches_by_rows(self, arguments, begin, end):
            self.calls += 1
            super().patches_by_rows(arguments, begin, end)

    form, wanted = Counting(), pairs()
    write(PatchMaker(CAMERAS, TABLE, form=form), wanted)

    assert form.calls == len(wanted)


@pytest.mark.parametrize("change", [{"patch_size": 16}, {"merge_size": 1}, {"temporal_patch_size": 1}])
def test_a_model_whose_patches_no_kernel_makes_is_refused(change):
    vision = SimpleNamespace(**{"patch_size": 14, "merge_size": 2, "temporal_patch_size": 2, **change})
    manifest = SimpleNamespace(model=SimpleNamespace(vision=vision, text=SimpleNamespace(hidden_size=8)))
    with pytest.raises(BundleError, match=f"{next(iter(change))} is {next(iter(change.values()))}"):
        VisionEncoder(manifest, Path("bundle"), None, cache=False)
