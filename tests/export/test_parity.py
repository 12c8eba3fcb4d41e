"""The written fp32 graphs against transformers: the same numbers within 1e-4, whatever the shapes."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from onboard_vla.core.bundle_manifest import MASKED_BIAS
from onboard_vla.export.checkpoint import Checkpoint
from onboard_vla.export.language_graph import language_graph
from onboard_vla.export.linear_layers import FloatLinears
from onboard_vla.export.scenes import random_scenes
from onboard_vla.export.source import Source
from onboard_vla.export.vision_graph import vision_graph
from onboard_vla.export.vision_grid import vision_grid
from onboard_vla.export.weights import CheckpointWeights
from onboard_vla.kernels.reference_images import normalisation_table, patches_of_pair
from onboard_vla.runtime.positions import RotaryTable, VideoGrid, prompt_positions

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

TOLERANCE = 1e-4
REFERENCE = Path(__file__).parents[2] / "world" / "reference"
GRIDS = ((8, 12), (4, 4), (6, 6), (10, 14), (2, 18), (8, 8), (2, 2))
SPEC = importlib.util.spec_from_file_location("tiny_checkpoint", Path(__file__).with_name("tiny_checkpoint.py"))
tiny_checkpoint = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tiny_checkpoint)


class Pair:
    """A transformers model and the checkpoint it was saved to."""

    def __init__(self, folder, model):
        self.model, self.checkpoint = model, Checkpoint(folder)
        self.dimensions = self.checkpoint.model
        self.weights = CheckpointWeights(self.checkpoint)

    def vision_session(self, grid):
        return session(vision_graph(self.dimensions, grid, self.weights, FloatLinears(self.weights)))

    def language_session(self):
        return session(language_graph(self.dimensions.text, self.weights, FloatLinears(self.weights)))


def session(model):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module", params=["tiny", "tiny_untied_bfloat16", "reference"])
def pair(request, tmp_path_factory):
    if request.param == "reference":
        model = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(REFERENCE, dtype=torch.float32)
        return Pair(REFERENCE, model.eval())
    folder = tmp_path_factory.mktemp(request.param)
    untied = request.param != "tiny"
    return Pair(folder, tiny_checkpoint.build(folder, tied=not untied, dtype="bfloat16" if untied else "float16"))


@pytest.mark.parametrize(("height", "width"), GRIDS)
def test_vision_graph_equals_transformers_for_every_grid_and_batch(pair, height, width):
    vision = pair.dimensions.vision
    grid = vision_grid(height, width, vision)
    ours = pair.vision_session(grid)
    rng = np.random.default_rng(height * 100 + width)
    for items in (1, 3):
        patches = rng.standard_normal((items, height * width, 1176)).astype(np.float32)
        (found,) = ours.run(None, {"patches": patches})
        with torch.no_grad():
            thw = torch.tensor([[1, height, width]] * items)
            expected = pair.model.model.visual(torch.from_numpy(patches.reshape(-1, 1176)), thw).pooler_output
        np.testing.assert_allclose(found.reshape(expected.shape), expected.numpy(), atol=TOLERANCE, rtol=0)


def test_camera_pairs_in_one_video_equal_independent_items(pair):
    patches = np.random.default_rng(0).standard_normal((2, 96, 1176)).astype(np.float32)
    (found,) = pair.vision_session(vision_grid(8, 12, pair.dimensions.vision)).run(None, {"patches": patches})
    with torch.no_grad():
        thw = torch.tensor([[2, 8, 12]])
        expected = pair.model.model.visual(torch.from_numpy(patches.reshape(-1, 1176)), thw).pooler_output
    np.testing.assert_allclose(found.reshape(expected.shape), expected.numpy(), atol=TOLERANCE, rtol=0)


class Decoder:
    """Runs the language graph over a growing cache, as a runtime does."""

    def __init__(self, pair):
        self.text, self.session = pair.dimensions.text, pair.language_session()
        empty = (0, self.text.kv_heads, self.text.head_dim)
        names = [f"past_{kind}_{i}" for i in range(self.text.layers) for kind in ("key", "value")]
        self.cache = {name: np.zeros(empty, np.float32) for name in names}
        self.table = RotaryTable(self.text.head_dim, self.text.rope_theta, self.text.mrope_section, 2048)

    def run(self, embeds, positions, rows):
        past, new = len(self.cache["past_key_0"]), len(embeds)
        bias = np.triu(np.full((new, past + new), MASKED_BIAS, np.float32), past + 1)
        cos, sin = self.table.look_up(positions)
        feed = {"embeds": embeds, "cos": cos, "sin": sin, "bias": bias, "rows": np.array(rows, np.int64), **self.cache}
        outputs = dict(zip([o.name for o in self.session.get_outputs()], self.session.run(None, feed), strict=True))
        self.cache = {k: np.concatenate([v, outputs[k.replace("past", "new")]]) for k, v in self.cache.items()}
        return outputs["logits"]


def scene(pair, rng):
    """Token ids with two cameras in them, patches, grids, runs for positions."""
    text, config = pair.dimensions.text, pair.model.config
    grids, runs, ids = [(2, 8, 12), (2, 4, 4)], [], []
    for t, h, w in grids:
        words = rng.integers(10, 90, 7).tolist()
        ids += [*words, config.vision_start_token_id, *[config.video_token_id] * (t * h * w // 4)]
        runs += [8, VideoGrid(t, h // 2, w // 2)]
    tail = [config.vision_end_token_id, *rng.integers(10, 90, 12).tolist()]
    ids += tail
    runs.append(len(tail))
    patches = [rng.standard_normal((t, h * w, 1176)).astype(np.float32) for t, h, w in grids]
    assert max(ids) < text.vocabulary_size
    return np.array(ids), patches, grids, runs


def test_prefill_and_teacher_forced_decode_equal_transformers(pair):
    rng = np.random.default_rng(3)
    ids, patches, grids, runs = scene(pair, rng)
    answer = rng.integers(10, 90, 9)
    whole = np.concatenate([ids, answer])
    with torch.no_grad():
        tokens = torch.from_numpy(whole)[None]
        expected = pair.model(
            input_ids=tokens,
            pixel_values_videos=torch.from_numpy(np.concatenate([p.reshape(-1, 1176) for p in patches])),
            video_grid_thw=torch.tensor(grids),
            mm_token_type_ids=(tokens == pair.model.config.video_token_id).int() * 2,
        ).logits[0]
    embeds = pair.checkpoint.embedding[whole].astype(np.float32)
    visual = []
    for (_, h, w), p in zip(grids, patches, strict=True):
        (found,) = pair.vision_session(vision_grid(h, w, pair.dimensions.vision)).run(None, {"patches": p})
        visual.append(found.reshape(-1, found.shape[-1]))
    embeds[whole == pair.model.config.video_token_id] = np.concatenate(visual)
    vision = pair.dimensions.vision
    positions, after = prompt_positions(runs, vision.tokens_per_second, vision.second_per_grid)
    decoder, count = Decoder(pair), len(ids)
    rows = [count - 1, 0, count // 2, count - 1]
    logits = decoder.run(embeds[:count], positions, rows)
    np.testing.assert_allclose(logits, expected[rows].numpy(), atol=TOLERANCE, rtol=0)
    for chunk in (1, 1, 3, 1, 2, 1):
        new = np.arange(chunk)
        done = len(decoder.cache["past_key_0"])
        at = np.broadcast_to(after + done - count + new, (3, chunk))
        logits = decoder.run(embeds[done : done + chunk], at, new)
        np.testing.assert_allclose(logits, expected[done : done + chunk].numpy(), atol=TOLERANCE, rtol=0)


def test_prompt_in_two_pieces_equals_one_prefill(pair):
    rng = np.random.default_rng(5)
    embeds = rng.standard_normal((23, pair.dimensions.text.hidden_size)).astype(np.float32)
    positions = np.broadcast_to(np.arange(23), (3, 23))
    whole = Decoder(pair).run(embeds, positions, [22, 11])
    pieces = Decoder(pair)
    first = pieces.run(embeds[:12], positions[:, :12], [11])
    second = pieces.run(embeds[12:], positions[:, 12:], [10])
    np.testing.assert_allclose(np.concatenate([second, first]), whole, atol=TOLERANCE, rtol=0)


def test_golden_references_equal_transformers(tmp_path):
    source = Source.open(REFERENCE)
    model = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(REFERENCE, dtype=torch.float32).eval()
    source.write_float_graphs(tmp_path, lambda _: None)
    (golden,) = source.references(tmp_path, random_scenes(source.assets, 1, np.random.default_rng(9)), lambda _: None)
    assets, scene, reference = source.assets, golden.scene, golden.reference
    table = normalisation_table(assets.vision.image_mean, assets.vision.image_std)
    patches = [
        patches_of_pair(scene.images[camera.role][i], scene.images[camera.role][i + 1], table)
        for camera in assets.cameras
        for i in (0, 2)
    ]
    actions = assets.actions
    answer = [*assets.answer.fast_prefix, *(actions.first_id + reference.tokens)]
    tokens = torch.tensor([[*scene.prompt_ids.tolist(), *map(int, answer)]])
    with torch.no_grad():
        logits = model(
            input_ids=tokens,
            pixel_values_videos=torch.from_numpy(np.concatenate(patches)),
            video_grid_thw=torch.tensor([[2, camera.grid_h, camera.grid_w] for camera in assets.cameras]),
            mm_token_type_ids=(tokens == assets.tokens.video_pad).int() * 2,
        ).logits[0]
    start = len(scene.prompt_ids)
    fork = logits[start + assets.answer.fork_index - 1, [assets.answer.fast_fork, assets.answer.slow_fork]]
    np.testing.assert_allclose(reference.fork, fork.numpy(), atol=TOLERANCE, rtol=0)
    first = start + len(assets.answer.fast_prefix) - 1
    expected = logits[first : first + actions.per_answer, actions.first_id : actions.first_id + actions.count]
    np.testing.assert_allclose(reference.actions, expected.numpy(), atol=TOLERANCE, rtol=0)
