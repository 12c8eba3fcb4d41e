"""The form of a prompt template: what its ids are wherever no field stands, whatever the fields say.

Ids of scenes come out of files. A text is tokenised as a whole, so what is fixed of it is found in ids, not in words:
it is what many texts with other fields have in common at their beginning and at their end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, groupby

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.prompt import PromptTemplate, VideoSegment
from onboard_vla.runtime.positions import VideoGrid
from onboard_vla.runtime.prompt import Tokenizer

Ids = tuple[int, ...]
Parts = tuple[Ids | int, ...]
"""A prompt's texts, as ids, and how many visual tokens stand between them, in turn; a text may be empty."""
NEIGHBOURS = 1
"""Ids beside a field that may belong to what it says: a tokenizer may join its first letter with what stands before."""
MOST_OPTIONAL = 4
"""Fields that may be left out: beyond so many, prompts are held against the form of all and of none of them."""


@dataclass(frozen=True)
class Unfit:
    """Where a prompt is not of a form, and what stands there."""

    position: int
    words: str


@dataclass(frozen=True)
class _Text:
    """Ids at the beginning and at the end of a text; `whole`: it has no field, `head` is all of it."""

    head: Ids
    tail: Ids
    whole: bool

    @classmethod
    def of(cls, texts: Sequence[Ids]) -> _Text:
        """What texts with other fields have in common."""
        if len(set(texts)) == 1:
            return cls(texts[0], (), whole=True)
        head, tail = _common(texts), _common([text[::-1] for text in texts])[::-1]
        return cls(head[:-NEIGHBOURS], tail[NEIGHBOURS:], whole=False)

    def unfit(self, ids: Ids, start: int, before: str) -> Unfit | None:
        """Hold a text whose first id is the prompt's `start`th against it; `before`: what follows the text."""
        least = len(self.head) + len(self.tail)
        if (unlike := _unlike(ids, self.head, start)) is not None:
            return unlike
        if len(ids) < least or (self.whole and len(ids) > least):
            more = "" if self.whole else " or more"
            words = f"{len(ids)} ids of text before {before}, the prompt template has {least}{more}"
            return Unfit(start + min(len(ids), least), words)
        behind = len(ids) - len(self.tail)
        return _unlike(ids[behind:], self.tail, start + behind)


def _unlike(found: Ids, expected: Ids, start: int) -> Unfit | None:
    """The first id that is another one; `start`: where the first of them stands in the prompt."""
    for offset, (one, other) in enumerate(zip(found, expected, strict=False)):
        if one != other:
            return Unfit(start + offset, f"found id {one}, the prompt template has {other} there")
    return None


@dataclass(frozen=True)
class PromptForm:
    """All forms that a template's prompts have: one for each choice of fields that may be left out."""

    vocabulary: int
    video_pad: int
    forms: tuple[tuple[_Text | int, ...], ...]

    @classmethod
    def of(
        cls, template: PromptTemplate, tokenizer: Tokenizer, video_pad: int, grids: Mapping[str, VideoGrid]
    ) -> PromptForm:
        """Of all cameras' pictures; `grids`: merged visual tokens by camera."""
        forms = []
        for left_out in _choices(template.optional_names):
            written = [_parts(template, texts, tokenizer, grids) for texts in template.examples(left_out)]
            turns = zip(*written, strict=True)
            forms.append(tuple(turn[0] if isinstance(turn[0], int) else _Text.of(turn) for turn in turns))
        return cls(tokenizer.size, video_pad, tuple(forms))

    def unfit(self, ids: NDArray[np.int64]) -> Unfit | None:
        """Where a prompt (S,) is of none of the forms; of several, by the one that it keeps the longest."""
        outside = np.flatnonzero((ids < 0) | (ids >= self.vocabulary))
        if len(outside):
            at = int(outside[0])
            return Unfit(at, f"found id {ids[at]}, expected 0 to {self.vocabulary - 1}")
        parts = self._parts(ids.tolist())
        found = [_first_unfit(parts, form) for form in self.forms]
        if None in found:
            return None
        return max((unfit for unfit in found if unfit is not None), key=lambda unfit: unfit.position)

    def _parts(self, ids: Sequence[int]) -> Parts:
        parts: list[Ids | int] = []
        for visual, run in groupby(ids, lambda token: token == self.video_pad):
            if visual and not parts:
                parts.append(())
            text = tuple(run)
            parts.append(len(text) if visual else text)
        return (*parts, ()) if parts and isinstance(parts[-1], int) else tuple(parts)


def _first_unfit(parts: Parts, form: Sequence[_Text | int]) -> Unfit | None:
    start = 0
    for number, expected in enumerate(form):
        if number >= len(parts):
            return Unfit(start, "the prompt ends, the prompt template goes on with pictures")
        part = parts[number]
        if isinstance(part, int) or isinstance(expected, int):
            if part != expected:
                return Unfit(start, f"{part} visual tokens, the prompt template and the cameras have {expected} there")
            start += expected
            continue
        before = "the next pictures" if number + 1 < len(form) else "the answer"
        if (unfit := expected.unfit(part, start, before)) is not None:
            return unfit
        start += len(part)
    if len(parts) > len(form):
        return Unfit(start, "visual tokens, the prompt template has no more of them")
    return None


def _parts(
    template: PromptTemplate, texts: Mapping[str, str], tokenizer: Tokenizer, grids: Mapping[str, VideoGrid]
) -> Parts:
    """A prompt as `PromptWriter` writes it; cameras between which nothing stands are one."""
    parts: list[Ids | int] = [()]
    for segment in template.written(texts):
        if isinstance(segment, VideoSegment):
            count = grids[segment.camera].tokens
            if isinstance(parts[-1], int):
                parts[-1] += count
            else:
                parts.append(count)
        elif isinstance(parts[-1], int):
            parts.append(tokenizer.encode(segment.text))
        else:
            parts[-1] = tokenizer.encode(segment.text)
    return (*parts, ()) if isinstance(parts[-1], int) else tuple(parts)


def _choices(names: Sequence[str]) -> Iterator[frozenset[str]]:
    """Which fields may be left out together."""
    counts = range(len(names) + 1) if len(names) <= MOST_OPTIONAL else (0, len(names))
    for count in counts:
        yield from map(frozenset, combinations(names, count))


def _common(texts: Sequence[Ids]) -> Ids:
    """The ids with which all of some texts begin."""
    first, last = min(texts), max(texts)
    count = 0
    while count < min(len(first), len(last)) and first[count] == last[count]:
        count += 1
    return first[:count]
