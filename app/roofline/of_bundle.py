"""A bundle's sizes and graphs, as it is, or as it would be with fewer of its cameras."""

from __future__ import annotations

from collections import Counter

from onboard_vla.app.roofline.stages import PlanSizes, View
from onboard_vla.core.ego import EgoState
from onboard_vla.core.errors import ArgumentError
from onboard_vla.core.road import KEEP_FORWARD
from onboard_vla.export.graph_cost import CountedGraph
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.prompt import PromptWriter, TokenisedPrompt, Tokenizer, answer_ids


def sizes_of(bundle: Bundle, cameras: int, source: tuple[int, int]) -> PlanSizes:
    """What goes into a plan of a bundle that sees its first `cameras` cameras alone.

    Raises:
        ArgumentError: the bundle has fewer.
    """
    manifest = bundle.manifest
    if not 1 <= cameras <= len(manifest.cameras):
        raise ArgumentError(
            f"--cameras {cameras}: expected 1 to {len(manifest.cameras)}, this bundle's cameras are "
            f"{', '.join(bundle.cameras)}"
        )
    seen = manifest.cameras[:cameras]
    alike = Counter((c.vision_graph, c.width, c.height, c.grid_h, c.grid_w, c.crop) for c in seen)
    tokenizer = Tokenizer(bundle.path / manifest.tokenizer)
    vision = manifest.model.vision
    writer = PromptWriter(
        bundle.template,
        tokenizer,
        manifest.tokens,
        bundle.grids(),
        (vision.tokens_per_second, vision.second_per_grid),
    )
    prompt = writer.write(EgoState(0, 0.0, 0.0, 0.0, 8.0, 0.0, 0.0), KEEP_FORWARD)
    return PlanSizes(
        views=tuple(View(*key, cameras=count) for key, count in alike.items()),
        pairs_per_camera=bundle.pairs_per_camera,
        source=source,
        prompt=_tokens(prompt, {camera.role for camera in seen}),
        kept=min(where.start for _, where in prompt.videos),
        forced=len(answer_ids(bundle.template, tokenizer, manifest.actions).fast_prefix),
    )


def _tokens(prompt: TokenisedPrompt, seen: set[str]) -> int:
    """Tokens of the prompt without the cameras that are not seen, each from the end of the one before it."""
    left_out, before = 0, min(where.start for _, where in prompt.videos)
    for camera, where in prompt.videos:
        left_out += 0 if camera in seen else where.stop - before
        before = where.stop
    return len(prompt.ids) - left_out


def graphs_of(bundle: Bundle) -> tuple[dict[str, CountedGraph], CountedGraph]:
    """Vision graphs by name, and the language graph."""
    names = {camera.vision_graph for camera in bundle.manifest.cameras}
    vision = {name: CountedGraph.load(bundle.path / name) for name in names}
    return vision, CountedGraph.load(bundle.path / bundle.manifest.language_graph)
