"""Is this the prompt that the checkpoint was trained with? Published checkpoints' prompts, known by their token counts.

The texts belong to whoever wrote them and are the user's files; what is known here is how many ids a tokenizer makes of
them. Counted with Qwen2.5's vocabulary over the prompts of ucla-mobility/AutoVLA (models/autovla.py builds those of
reinforcement fine-tuning, dataset_utils/sft_dataset.py those of supervised fine-tuning with and without reasoning),
three cameras of 16:9 pictures, 240 visual tokens each. A template with another sentence, or one of its variants in the
place of another, has other counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, product

from onboard_vla.core.errors import CheckpointError
from onboard_vla.core.prompt import Value
from onboard_vla.export.assets import PROMPT_FILE, Assets
from onboard_vla.export.checkpoint_config import read_json

CAMERAS, VISUAL_TOKENS = 3, 240
PROBES = (5.0, 15.0)
"""Numbers to render with: a digit more is a token more, and the published counts do not name their values."""


@dataclass(frozen=True)
class Counts:
    """Ids before the first camera, between two cameras, after the last one.

    `fast_prefix`: ids of the answer up to its first action when thinking fast; `slow_prefix`: up to its reasoning when
    thinking slowly (None: not compared).
    """

    before: int
    between: tuple[int, ...]
    after: int
    fast_prefix: int
    slow_prefix: int | None

    @property
    def text(self) -> int:
        """Ids that are text."""
        return self.before + sum(self.between) + self.after

    @property
    def total(self) -> int:
        """Length of the whole prompt with 240 visual tokens a camera."""
        return self.text + CAMERAS * VISUAL_TOKENS

    def __str__(self) -> str:
        between = "/".join(map(str, sorted(set(self.between))))
        return (
            f"{self.before} before the first camera, {between} between cameras, {self.after} after the last, "
            f"answer prefixes {self.fast_prefix} and {self.slow_prefix}"
        )


VARIANTS = {
    "autovla-rft": Counts(381, (28, 28), 64, 30, 12),
    "autovla-sft": Counts(168, (28, 28), 64, 30, 12),
    "autovla-direct": Counts(113, (28, 28), 64, 10, None),
}
"""Totals 1,221, 1,008 and 953. `direct` answers without reasoning."""


def check_variant(assets: Assets, name: str) -> Counts:
    """Hold the prompt and answer of a checkpoint, through its own tokenizer, against a published variant.

    Returns:
        The counts that were found.

    Raises:
        CheckpointError: the variant is unknown, or the counts are those of another one, or of none.
    """
    if name not in VARIANTS:
        raise CheckpointError(f"prompt variant {name!r}: expected one of {', '.join(VARIANTS)}")
    found = list(counts(assets))
    for candidate in found:
        if _same(VARIANTS[name], candidate):
            return candidate
    others = [other for other, expected in VARIANTS.items() if any(_same(expected, candidate) for candidate in found)]
    verdict = f"is {others[0]}" if others else "is no known variant"
    raise CheckpointError(
        f"{assets.folder / PROMPT_FILE} {verdict}, expected was {name}: its tokens are {found[0]}; "
        f"{name} has {VARIANTS[name]}"
    )


def counts(assets: Assets) -> Iterator[Counts]:
    """Counts of the prompt with every choice and with numbers of one and two digits."""
    answer = assets.answer
    writer = assets.prompt_writer()
    for values in _probes(assets):
        prompt = writer.write_fields(values)
        spans = [span for _, span in prompt.videos]
        between = tuple(later.start - earlier.stop for earlier, later in pairwise(spans))
        after = len(prompt.ids) - spans[-1].stop
        yield Counts(spans[0].start, between, after, len(answer.fast_prefix), len(answer.slow_prefix))


def _same(expected: Counts, found: Counts) -> bool:
    slow = expected.slow_prefix in (None, found.slow_prefix)
    compared = (expected.before, expected.between, expected.after, expected.fast_prefix)
    return slow and compared == (found.before, found.between, found.after, found.fast_prefix)


def _probes(assets: Assets) -> Iterator[dict[str, Value]]:
    choices: dict[str, list[Value]] = {}
    for name, field in read_json(assets.folder / PROMPT_FILE)["fields"].items():
        if field.get("optional"):
            continue
        if field["kind"] == "number":
            choices[name] = [probe for probe in PROBES if field["minimum"] <= probe <= field["maximum"]] or [
                field["minimum"]
            ]
        elif field["kind"] == "choice":
            choices[name] = list(field["values"])
        else:
            choices[name] = [(0,)]
    for combination in product(*choices.values()):
        yield dict(zip(choices, combination, strict=True))
