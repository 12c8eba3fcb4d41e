"""Recorded episodes: pictures as the runtime cuts them, honest labels, recovery from disturbances."""

import numpy as np
import pytest

from onboard_vla.kernels.reference_images import crop_and_resize
from onboard_vla.world.dataset_episode import AUXILIARY, Disturbance, disturbed_start, record_episode
from onboard_vla.world.dataset_images import ModelPictures
from onboard_vla.world.dataset_store import episode_path, load_frames, save_episode
from onboard_vla.world.model_assets import CAMERAS
from onboard_vla.world.world import World


class FlatRenderer:
    """Grey pictures: these tests are about labels."""

    def render(self, world: World) -> dict[str, np.ndarray]:
        return {camera: np.full((252, 448, 3), 90, np.uint8) for camera in ModelPictures(CAMERAS).cameras}


def record(seed: int, seconds: float, how: Disturbance | None) -> dict[str, np.ndarray]:
    world = World(seed, "quiet_road", disturbed_start(seed, how) if how else None)
    return record_episode(world, FlatRenderer(), ModelPictures(CAMERAS), seconds, seed, how)


def test_pictures_equal_the_runtime_s_to_the_bit() -> None:
    source = np.random.default_rng(0).integers(0, 256, (252, 448, 3), dtype=np.uint8)
    pictures = ModelPictures(CAMERAS)
    for entry in CAMERAS["cameras"]:
        crop = [entry["crop"][side] for side in ("left", "top", "right", "bottom")]
        expected = crop_and_resize(source, crop, entry["width"], entry["height"])
        assert (pictures(entry["camera"], source) == expected).all()


def test_episode_has_a_frame_set_each_half_second() -> None:
    episode = record(5, 3.0, None)
    assert episode["front"].shape == (6, 112, 168, 3)
    assert episode["sides"].shape == (6, 5, 56, 56, 3)
    assert episode["auxiliary"].shape == (6, len(AUXILIARY))
    moved = np.hypot(*np.diff(episode["ego"][:, :2], axis=0).T)
    np.testing.assert_allclose(moved, episode["speed"][:-1] * 0.5, atol=0.5)


def test_undisturbed_label_is_where_the_expert_then_goes() -> None:
    episode = record(6, 6.0, None)
    x, y, heading = episode["ego"][0]
    gone = episode["ego"][1:6, :2] - [x, y]
    ahead = gone @ np.array([[np.cos(heading), -np.sin(heading)], [np.sin(heading), np.cos(heading)]])
    np.testing.assert_allclose(episode["poses"][0, :5, :2], ahead, atol=1.0)


@pytest.mark.parametrize("seed", range(4))
def test_labels_lead_back_to_the_lane_from_off_it(seed: int) -> None:
    episode = record(100 + seed, 20.0, Disturbance())
    offset = episode["auxiliary"][:, AUXILIARY.index("lane_offset_m")]
    rolling = (np.abs(offset) > 0.5) & (episode["speed"] > 4.0)
    path = episode["auxiliary"][:, AUXILIARY.index("path_20m_left_m")]
    for row in np.flatnonzero(rolling):
        reached = np.interp(20.0, episode["poses"][row, :, 0], episode["poses"][row, :, 1])
        if episode["poses"][row, -1, 0] > 20.0:
            assert abs(reached - path[row]) < abs(offset[row])


def test_same_seed_records_the_same_episode() -> None:
    first, second = (record(7, 4.0, Disturbance()) for _ in range(2))
    assert all((first[name] == second[name]).all() for name in first)


def test_samples_have_three_frames_before_them(tmp_path) -> None:
    for seed in (1, 2):
        save_episode(episode_path(tmp_path, "quiet_road", seed), record(seed, 3.0, None))
    frames = load_frames(sorted(tmp_path.glob("*.npz")))
    assert frames.samples.tolist() == [3, 4, 5, 9, 10, 11]
    assert (frames.episode[frames.samples - 3] == frames.episode[frames.samples]).all()
