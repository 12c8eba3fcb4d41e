"""Rotary positions: hand-worked cases, and equality with transformers on prompts of several cameras."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.runtime.positions import RotaryTable, VideoGrid, prompt_positions, text_positions


def test_text_counts_on_along_all_axes():
    positions, following = prompt_positions([4], 2.0, 1.0)
    np.testing.assert_array_equal(positions, [[0, 1, 2, 3]] * 3)
    assert following == 4


def test_a_video_counts_pairs_rows_and_columns_and_text_goes_on_behind_its_larger_side():
    positions, following = prompt_positions([2, VideoGrid(2, 1, 3), 1], 2.0, 1.0)
    np.testing.assert_array_equal(positions[0], [0, 1, 2, 2, 2, 4, 4, 4, 5])
    np.testing.assert_array_equal(positions[1], [0, 1, 2, 2, 2, 2, 2, 2, 5])
    np.testing.assert_array_equal(positions[2], [0, 1, 2, 3, 4, 2, 3, 4, 5])
    assert following == 6


def test_an_autovla_prompt_of_three_cameras_ends_675_positions_early():
    runs = [381, VideoGrid(2, 8, 15), 28, VideoGrid(2, 8, 15), 28, VideoGrid(2, 8, 15), 64]
    positions, following = prompt_positions(runs, 2.0, 1.0)
    assert positions.shape == (3, 1221)
    assert following - positions.shape[1] == -675


def test_an_empty_prompt_has_no_positions():
    positions, following = prompt_positions([], 2.0, 1.0)
    assert positions.shape == (3, 0)
    assert following == 0


def test_the_rotary_table_takes_each_column_from_its_axis():
    table = RotaryTable(16, 1e4, (2, 3, 3), 64)
    cos, sin = table.look_up(np.array([[5], [7], [11]]))
    frequencies = 1e4 ** (-np.arange(0, 16, 2) / 16)
    angles = np.array([5, 5, 7, 7, 7, 11, 11, 11]) * frequencies
    np.testing.assert_allclose(cos[0], np.tile(np.cos(angles), 2), atol=1e-6)
    np.testing.assert_allclose(sin[0], np.tile(np.sin(angles), 2), atol=1e-6)


def test_the_rotary_table_gives_one_text_token_the_same_row_by_either_way():
    table = RotaryTable(16, 1e4, (2, 3, 3), 64)
    alone = table.look_up(text_positions(9, 1))
    among = table.look_up(text_positions(8, 3))
    for short, long in zip(alone, among, strict=True):
        np.testing.assert_array_equal(short[0], long[1])
        assert short.flags.c_contiguous
        assert long.flags.c_contiguous


@pytest.mark.parity
@pytest.mark.parametrize(
    "grids",
    [
        [(2, 8, 12)] + [(2, 4, 4)] * 5,
        [(2, 16, 30)] * 3,
        [(2, 2, 2), (3, 10, 4), (1, 6, 8)],
        [(4, 2, 2), (2, 4, 2)],
    ],
)
def test_positions_equal_those_of_transformers(grids):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = transformers.Qwen2_5_VLConfig(
        vision_config={"tokens_per_second": 2, "spatial_merge_size": 2}, video_token_id=9
    )
    model_class = transformers.models.qwen2_5_vl.modeling_qwen2_5_vl.Qwen2_5_VLModel
    holder = type("Holder", (), {"config": config, "get_vision_position_ids": model_class.get_vision_position_ids})()
    rng = np.random.default_rng(len(grids))
    ids, runs = [], []
    for pairs, height, width in grids:
        text = int(rng.integers(1, 30))
        grid = VideoGrid(pairs, height // 2, width // 2)
        ids += [1] * text + [9] * grid.tokens
        runs += [text, grid]
    ids += [1] * 17
    runs.append(17)
    tokens = torch.tensor([ids])
    expected, delta = model_class.get_rope_index(
        holder, tokens, (tokens == 9).int() * 2, video_grid_thw=torch.tensor(grids)
    )
    positions, following = prompt_positions(runs, 2.0, 1.0)
    np.testing.assert_array_equal(positions, expected[:, 0].numpy())
    # With very small grids the last temporal position lies beyond the text's, and transformers decodes from there.
    if positions.max() == positions[0, -1]:
        assert following - len(ids) == int(delta[0, 0])


@pytest.mark.parity
def test_rotary_values_equal_those_of_transformers():
    torch = pytest.importorskip("torch")
    modeling = pytest.importorskip("transformers.models.qwen2_5_vl.modeling_qwen2_5_vl")
    from transformers import Qwen2_5_VLTextConfig

    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]}
    config = Qwen2_5_VLTextConfig(hidden_size=256, num_attention_heads=2, rope_parameters=rope)
    positions, _ = prompt_positions([40, VideoGrid(2, 8, 15), 20], 2.0, 1.0)
    expected = modeling.Qwen2_5_VLRotaryEmbedding(config)(torch.zeros(1), torch.from_numpy(positions)[:, None])
    found = RotaryTable(128, 1e6, (16, 24, 24), 512).look_up(positions)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs[0].numpy(), atol=2e-6)
