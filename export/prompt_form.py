"""The form of a prompt template: what its ids are wherever no field stands, whatever the fields say.

Ids of scenes come out of files. A text is tokenised as a whole, so what is fixed of it is found in ids, not in words:
it is what many texts with other fields have in common at their beginning and at their end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations, takewhile

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.prompt import PromptTemplate, VideoSegment
from onboard_vla.runtime.positions import VideoGrid
from onboard_vla.runtime.prompt import Tokenizer

Ids = tuple[int, ...]
NEIGHBOURS = 1
"""Ids beside a field that may belong to what it says: a tokenizer may join its first letter with what stands before."""
MOST_OPTIONAL = 4
"""Fields that may be left out: beyond so many there is one form, which knows nothing of what stands between them."""


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
        head, tail = head[:-NEIGHBOURS], tail[NEIGHBOURS:]
        both = len(head) + len(tail) - min(map(len, texts))  # ids of the shortest that are in either
        return cls(head, tail[max(0, both) :], whole=False)

    @property
    def least(self) -> int:
        """Fewest ids."""
        return len(self.head) + len(self.tail)

    def unfit(self, ids: Ids, start: int, before: str) -> Unfit | None:
        """Hold a text whose first id is the prompt's `start`th against it; `before`: what follows the text."""
        least = self.least
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
    """All forms that a template's prompts have: texts before, between and behind pictures; a text may be empty.

    `visual`: visual tokens of each camera, in order. `forms`: one for each choice of fields that may be left out, or
    one for all of them.
    """

    vocabulary: int
    video_pad: int
    visual: tuple[int, ...]
    forms: tuple[tuple[_Text, ...], ...]

    @classmethod
    def of(
        cls, template: PromptTemplate, tokenizer: Tokenizer, video_pad: int, grids: Mapping[str, VideoGrid]
    ) -> PromptForm:
        """Of all cameras' pictures; `grids`: merged visual tokens by camera."""
        optional, encode = template.optional_names, cache(tokenizer.encode)
        if len(optional) <= MOST_OPTIONAL:
            examples = [template.examples(left_out=choice) for choice in _choices(optional)]
        else:
            examples = [template.examples(at_will=optional)]
        forms = []
        for prompts in examples:
            places = zip(*(_texts(template, texts) for texts in prompts), strict=True)
            forms.append(tuple(_Text.of([encode(text) for text in set(place)]) for place in places))
        visual = tuple(grids[camera].tokens for camera in template.cameras)
        return cls(tokenizer.size, video_pad, visual, tuple(forms))

    def unfit(self, ids: NDArray[np.int64]) -> Unfit | None:
        """Where a prompt (S,) is of none of the forms; of several, by the one that it keeps the longest."""
        outside = np.flatnonzero((ids < 0) | (ids >= self.vocabulary))
        if len(outside):
            at = int(outside[0])
            return Unfit(at, f"found id {ids[at]}, expected 0 to {self.vocabulary - 1}")
        found = [self._first_unfit(tuple(ids.tolist()), form) for form in self.forms]
        if None in found:
            return None
        return max((unfit for unfit in found if unfit is not None), key=lambda unfit: unfit.position)

    def _first_unfit(self, ids: Ids, form: Sequence[_Text]) -> Unfit | None:
        start = 0
        for text, following, count in zip(form, form[1:], self.visual, strict=False):
            written = self._run(ids, start, visual=False)
            if (unfit := text.unfit(written, start, "the next pictures")) is not None:
                return unfit
            start += len(written)
            if start == len(ids):
                return Unfit(start, "the prompt ends, the prompt template goes on with pictures")
            found = len(self._run(ids, start, visual=True))
            if found < count or (found > count and following.least):  # else those of the next camera follow on them
                words = f"{found} visual tokens, the prompt template and the cameras have {count} there"
                return Unfit(start, words)
            start += count
        written = self._run(ids, start, visual=False)
        if (unfit := form[-1].unfit(written, start, "the answer")) is not None:
            return unfit
        end = start + len(written)
        return Unfit(end, "visual tokens, the prompt template has no more of them") if end < len(ids) else None

    def _run(self, ids: Ids, start: int, *, visual: bool) -> Ids:
        """The ids from `start` on that are all of text, or all of pictures."""
        return tuple(takewhile(lambda token: (token == self.video_pad) == visual, ids[start:]))


def _texts(template: PromptTemplate, texts: Mapping[str, str]) -> list[str]:
    """What `PromptWriter` writes before, between and behind the cameras' pictures."""
    found = [""]
    for segment in template.written(texts):
        if isinstance(segment, VideoSegment):
            found.append("")
        else:
            found[-1] = segment.text
    return found


def _choices(names: Sequence[str]) -> Iterator[frozenset[str]]:
    """Which fields may be left out together."""
    for count in range(len(names) + 1):
        yield from map(frozenset, combinations(names, count))


def _common(texts: Sequence[Ids]) -> Ids:
    """The ids with which all of some texts begin."""
    first, last = min(texts), max(texts)
    count = 0
    while count < min(len(first), len(last)) and first[count] == last[count]:
        count += 1
    return first[:count]
