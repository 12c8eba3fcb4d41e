"""AutoVLA-3B's sizes: projections need no weights. Every figure is public, or an assumption that is told as such."""

from __future__ import annotations

from onboard_vla.app.roofline.stages import PlanSizes, View
from onboard_vla.core.bundle_manifest import ModelDimensions, TextDimensions, VisionDimensions
from onboard_vla.export.checkpoint_config import ARCHITECTURE, IMAGE_MEAN, IMAGE_STD, RESAMPLE, SECOND_PER_GRID
from onboard_vla.export.graph_cost import CountedGraph
from onboard_vla.export.vision_grid import graph_name
from onboard_vla.export.weightless import language_of, vision_of

NAME = "AutoVLA-3B"
CAMERAS = (3, 6)
MODEL = ModelDimensions(
    ARCHITECTURE,
    TextDimensions(
        hidden_size=2048,
        layers=36,
        heads=16,
        kv_heads=2,
        head_dim=128,
        intermediate_size=11008,
        vocabulary_size=153_713,
        rope_theta=1e6,
        mrope_section=(16, 24, 24),
        rms_norm_eps=1e-6,
    ),
    VisionDimensions(
        hidden_size=1280,
        depth=32,
        heads=16,
        intermediate_size=3420,
        channels=3,
        patch_size=14,
        temporal_patch_size=2,
        merge_size=2,
        window_size=112,
        full_attention_blocks=(7, 15, 23, 31),
        resample=RESAMPLE,
        tokens_per_second=2.0,
        second_per_grid=SECOND_PER_GRID,
        image_mean=IMAGE_MEAN,
        image_std=IMAGE_STD,
    ),
)
WIDTH, HEIGHT, PATCH = 420, 224, 14
PAIRS, TOKENS_PER_PAIR = 2, 120
TEXT_TOKENS, TEXT_CAMERAS, TEXT_PER_CAMERA = 501, 3, 28
KEPT_TOKENS, FORCED_TOKENS = 381, 30

ASSUMPTIONS = (
    "sizes: Qwen2.5-VL-3B-Instruct's config.json; vocabulary grown by 2,048 actions to 153,713 "
    "(github.com/ucla-mobility/AutoVLA)",
    "pictures: four per camera at 2 Hz, 28 x 28 x 128 pixels each, from 16:9: 420 x 224, 120 tokens a pair (AutoVLA's "
    "configuration files)",
    "prompt: 501 tokens of text with three cameras, 381 of them before the first picture (predict() of "
    "models/autovla.py, counted with Qwen's tokenizer, within ten); 28 more for each further camera: six cameras are "
    "our extension, no published checkpoint sees them",
    "answer: the fast prefix of 30 tokens is forced and part of the prefill, then ten actions; the rest is not decoded",
    "no weights were needed and none were run: sizes alone",
)


def autovla(cameras: int, source: tuple[int, int]) -> PlanSizes:
    """What goes into a plan with this many cameras."""
    grid_h, grid_w = HEIGHT // PATCH, WIDTH // PATCH
    view = View(graph_name(grid_h, grid_w), WIDTH, HEIGHT, grid_h, grid_w, (0.0, 0.0, 1.0, 1.0), cameras)
    text = TEXT_TOKENS + TEXT_PER_CAMERA * (cameras - TEXT_CAMERAS)
    prompt = text + cameras * PAIRS * TOKENS_PER_PAIR
    return PlanSizes((view,), PAIRS, source, prompt, KEPT_TOKENS, FORCED_TOKENS)


def graphs(precision: str) -> tuple[dict[str, CountedGraph], CountedGraph]:
    """Vision graphs by name, and the language graph, of the writer that exports use."""
    grid_h, grid_w = HEIGHT // PATCH, WIDTH // PATCH
    return {graph_name(grid_h, grid_w): vision_of(MODEL, grid_h, grid_w, precision)}, language_of(MODEL, precision)
