"""The prompt as data: a template asset that renders to text and video placeholders, and the shape of the answer.

The template is a JSON file of the checkpoint and of the bundle (`prompt.json`):

- `fields`: what the prompt may be told. Kinds: `number` (with `minimum`, `maximum`, `format`, and `"magnitude": true`
  for models that were trained on a quantity without its sign; the bounds are those of the signed value), `choice` (with
  `values`, a table from value to text) and `actions` (a list of action-token indices). `optional` fields may be left
  out.
- `segments`: a list of `{"text": ...}`, with `{field}` placeholders and optionally `"when": field`, and of
  `{"video": camera}`. Text with `"camera": camera` is said only where that camera's pictures are shown.
- `answer`: see `AnswerTemplate`.
- `video_token`: the placeholder that stands once for each merged visual token.
"""

from __future__ import annotations

import json
import math
import string
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from onboard_vla.core.errors import PromptError

PROMPT_FORMAT = 1
Value = float | int | str | tuple[int, ...]
EXAMPLES = 48
"""Numbers that stand for a range of them: as many that no digit is the same in all."""
GOLDEN_RATIO = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class TextSegment:
    """Text to tokenise by itself."""

    text: str


@dataclass(frozen=True)
class VideoSegment:
    """Stands for all visual tokens of one camera."""

    camera: str


@dataclass(frozen=True)
class AnswerTemplate:
    """What the model says around its actions.

    Fast: `fork_prefix` + `fast_fork` + `fast_rest`, the actions, `answer_suffix`. Slow: `fork_prefix` + `slow_fork` +
    `slow_rest`, free reasoning, `reasoning_suffix`, the actions, `answer_suffix`. Each fork text is one token.
    `action_token` names an action token by `{index}`; `action_count` is the number of planning steps of `step_s`.
    """

    fork_prefix: str
    fast_fork: str
    fast_rest: str
    slow_fork: str
    slow_rest: str
    reasoning_suffix: str
    answer_suffix: str
    action_token: str
    action_count: int
    step_s: float
    max_reasoning_tokens: int

    @property
    def fast_prefix(self) -> str:
        """Everything before the first action of a fast answer."""
        return self.fork_prefix + self.fast_fork + self.fast_rest

    @property
    def slow_prefix(self) -> str:
        """Everything before the reasoning of a slow answer."""
        return self.fork_prefix + self.slow_fork + self.slow_rest

    def actions_text(self, indices: tuple[int, ...]) -> str:
        """The action tokens' text."""
        return "".join(self.action_token.format(index=index) for index in indices)

    def fast_answer(self, indices: tuple[int, ...]) -> str:
        """A whole fast answer."""
        return self.fast_prefix + self.actions_text(indices) + self.answer_suffix

    def slow_answer(self, reasoning: str, indices: tuple[int, ...]) -> str:
        """A whole slow answer."""
        return self.slow_prefix + reasoning + self.reasoning_suffix + self.actions_text(indices) + self.answer_suffix


@dataclass(frozen=True)
class _Number:
    minimum: float
    maximum: float
    format: str
    magnitude: bool

    def render(self, value: object, where: str) -> str:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise PromptError(f"{where}: expected a finite number, found {value!r}")
        if not self.minimum <= value <= self.maximum:
            raise PromptError(f"{where}: expected {self.minimum:g} to {self.maximum:g}, found {value:g}")
        return format(abs(float(value)) if self.magnitude else float(value), self.format)

    def examples(self) -> list[str]:
        """The bounds, numbers all over the range, and as many of small magnitude."""
        shares = [index * GOLDEN_RATIO % 1 for index in range(EXAMPLES)]
        spread = [self.minimum + share * (self.maximum - self.minimum) for share in shares]
        small = [number * share**2 for number, share in zip(spread, shares, strict=True)]
        numbers = [self.minimum, self.maximum, *spread, *(n for n in small if self.minimum <= n <= self.maximum)]
        return [self.render(number, "an example") for number in numbers]


@dataclass(frozen=True)
class _Choice:
    values: Mapping[str, str]

    def render(self, value: object, where: str) -> str:
        if not isinstance(value, str) or value not in self.values:
            raise PromptError(f"{where}: expected one of {', '.join(self.values)}, found {value!r}")
        return self.values[value]

    def examples(self) -> list[str]:
        """All of them."""
        return list(self.values.values())


@dataclass(frozen=True)
class _Actions:
    action_token: str

    def render(self, value: object, where: str) -> str:
        if not isinstance(value, tuple | list) or not all(type(index) is int and index >= 0 for index in value):
            raise PromptError(f"{where}: expected action-token indices, found {value!r}")
        return "".join(self.action_token.format(index=index) for index in value)

    def examples(self) -> list[str]:
        """None, and some of the first two."""
        return [self.render(indices, "an example") for indices in ((), (0,), (1,), (0, 1), (1, 0))]


@dataclass(frozen=True)
class _Segment:
    text: str | None
    camera: str | None
    when: str | None
    names: tuple[str, ...]


class PromptTemplate:
    """A validated prompt template."""

    def __init__(self, data: Mapping[str, Any], where: str = "prompt") -> None:
        """Validate a template.

        Raises:
            PromptError: something about the template is missing, unknown or contradictory.
        """
        _check_keys(data, {"format", "video_token", "fields", "segments", "answer"}, set(), where)
        if data["format"] != PROMPT_FORMAT:
            raise PromptError(f"{where}: has prompt format {data['format']!r}, this build reads {PROMPT_FORMAT}")
        self.answer = _answer(data["answer"], f"{where}.answer")
        self.video_token = _text(data["video_token"], f"{where}.video_token")
        self._fields: dict[str, _Number | _Choice | _Actions] = {}
        self._optional: set[str] = set()
        for name, entry in _table(data["fields"], f"{where}.fields").items():
            self._fields[name] = _field(entry, self.answer, f"{where}.fields.{name}")
            if entry.get("optional", False):
                self._optional.add(name)
        self._required = self._fields.keys() - self._optional
        if not isinstance(data["segments"], list) or not data["segments"]:
            raise PromptError(f"{where}.segments: expected a list of segments")
        self._segments = [self._segment(entry, f"{where}.segments[{i}]") for i, entry in enumerate(data["segments"])]
        self.cameras = tuple(s.camera for s in self._segments if s.text is None and s.camera is not None)
        if len(set(self.cameras)) != len(self.cameras):
            raise PromptError(f"{where}.segments: a camera is shown twice in {self.cameras}")
        for segment in self._segments:
            if segment.camera is not None and segment.camera not in self.cameras:
                raise PromptError(
                    f"{where}.segments: text of camera {segment.camera!r}: expected one of {', '.join(self.cameras)}"
                )

    @classmethod
    def load(cls, path: Path | str) -> PromptTemplate:
        """Read and validate a template from a JSON file.

        Raises:
            PromptError: the file cannot be read or the template is not valid.
        """
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise PromptError(f"{path}: cannot be read as JSON: {error}") from None
        return cls(_table(data, str(path)), str(path))

    @property
    def field_names(self) -> tuple[str, ...]:
        """All fields, in the template's order."""
        return tuple(self._fields)

    @property
    def optional_names(self) -> tuple[str, ...]:
        """The fields that may be left out."""
        return tuple(name for name in self._fields if name in self._optional)

    def examples(self, left_out: Collection[str] = (), at_will: Collection[str] = ()) -> list[dict[str, str]]:
        """What may stand in the prompt for each field; of a number these are many of all lengths and signs.

        With what all admissible texts begin, these do, too, and with no more: first each field in turn says all that it
        can while the others say their shortest (texts of several fields begin alike for as long as these do), then all
        of them together. So do their ends.

        Args:
            left_out: optional fields that are not there.
            at_will: optional fields that are there or not.
        """
        each = {name: field.examples() for name, field in self._fields.items() if name not in left_out}
        shortest = {name: min(texts, key=len) for name, texts in each.items() if name not in at_will}
        alone = [shortest | {name: text} for name, texts in each.items() for text in texts]
        turns = range(max((len(texts) for texts in each.values()), default=0))
        together = [{name: texts[turn % len(texts)] for name, texts in each.items()} for turn in turns]
        return [shortest, *alone, *together]

    def check_optional(self, cameras: Collection[str]) -> None:
        """Hold the template against the cameras that plans may be made without.

        Raises:
            PromptError: it does not say which text goes with one of them.
        """
        marked = {segment.camera for segment in self._segments if segment.text is not None}
        for camera in cameras:
            if camera not in marked:
                raise PromptError(
                    f"camera {camera!r} is not required: expected the text around its pictures in the prompt with "
                    f'"camera": "{camera}", so that it goes with them, found none'
                )

    def render(
        self, values: Mapping[str, Value], shown: Collection[str] | None = None
    ) -> tuple[TextSegment | VideoSegment, ...]:
        """The prompt up to where the answer begins; neighbouring text is joined, so each text is tokenised by itself.

        Args:
            values: by field.
            shown: the cameras that there are pictures of, all if not given.

        Raises:
            PromptError: a field is missing, unknown, or its value does not fit.
        """
        return self.written(self.texts(values), shown)

    def texts(self, values: Mapping[str, Value]) -> dict[str, str]:
        """What stands in the prompt for each field.

        Raises:
            PromptError: a field is missing, unknown, or its value does not fit.
        """
        if unknown := values.keys() - self._fields.keys():
            raise PromptError(f"unknown prompt field {sorted(unknown)[0]!r}: expected {', '.join(self._fields)}")
        if missing := self._required - values.keys():
            raise PromptError(f"prompt field {sorted(missing)[0]!r} is missing")
        return {name: self._fields[name].render(value, f"prompt field {name!r}") for name, value in values.items()}

    def written(
        self, texts: Mapping[str, str], shown: Collection[str] | None = None
    ) -> tuple[TextSegment | VideoSegment, ...]:
        """As `render`, of what `texts` gave."""
        result: list[TextSegment | VideoSegment] = []
        for segment in self._segments:
            if segment.when is not None and segment.when not in texts:
                continue
            if segment.camera is not None and shown is not None and segment.camera not in shown:
                continue
            if segment.text is None:
                result.append(VideoSegment(str(segment.camera)))
                continue
            text = segment.text.format_map(texts)
            if result and isinstance(result[-1], TextSegment):
                text = result.pop().text + text  # type: ignore[union-attr]
            result.append(TextSegment(text))
        return tuple(result)

    def _segment(self, entry: object, where: str) -> _Segment:
        entry = _table(entry, where)
        if "video" in entry:
            _check_keys(entry, {"video"}, set(), where)
            return _Segment(None, _text(entry["video"], f"{where}.video"), None, ())
        _check_keys(entry, {"text"}, {"when", "camera"}, where)
        text, when = _text(entry["text"], f"{where}.text"), entry.get("when")
        camera = _text(entry["camera"], f"{where}.camera") if "camera" in entry else None
        names = _placeholders(text, f"{where}.text")
        for name in (*names, *(() if when is None else (when,))):
            if name not in self._fields:
                raise PromptError(f"{where}: unknown field {name!r}: expected {', '.join(self._fields)}")
        for name in names:
            if name in self._optional and name != when:
                raise PromptError(f'{where}: optional field {name!r} needs a segment of its own with "when": {name!r}')
        return _Segment(text, camera, when, names)


def _placeholders(text: str, where: str) -> tuple[str, ...]:
    try:
        parsed = list(string.Formatter().parse(text))
    except ValueError as error:
        raise PromptError(f"{where}: {error}") from None
    for _, name, spec, conversion in parsed:
        if name is not None and (not name.isidentifier() or spec or conversion):
            raise PromptError(f"{where}: expected plain {{field}} placeholders, found {name!r}")
    return tuple(name for _, name, _, _ in parsed if name is not None)


def _field(entry: object, answer: AnswerTemplate, where: str) -> _Number | _Choice | _Actions:
    entry = _table(entry, where)
    kind = entry.get("kind")
    if type(entry.get("optional", False)) is not bool:
        raise PromptError(f"{where}.optional: expected true or false")
    if kind == "number":
        _check_keys(entry, {"kind", "minimum", "maximum", "format"}, {"optional", "magnitude"}, where)
        if type(entry.get("magnitude", False)) is not bool:
            raise PromptError(f"{where}.magnitude: expected true or false")
        bounds = entry["minimum"], entry["maximum"]
        if not all(isinstance(b, int | float) and math.isfinite(b) for b in bounds) or bounds[0] > bounds[1]:
            raise PromptError(f"{where}: expected finite minimum <= maximum, found {bounds}")
        try:
            format(float(bounds[0]), entry["format"])
        except (TypeError, ValueError) as error:
            raise PromptError(f"{where}.format: {error}") from None
        return _Number(float(bounds[0]), float(bounds[1]), entry["format"], entry.get("magnitude", False))
    if kind == "choice":
        _check_keys(entry, {"kind", "values"}, {"optional"}, where)
        values = _table(entry["values"], f"{where}.values")
        return _Choice({key: _text(text, f"{where}.values.{key}") for key, text in values.items()})
    if kind == "actions":
        _check_keys(entry, {"kind"}, {"optional"}, where)
        return _Actions(answer.action_token)
    raise PromptError(f"{where}.kind: expected number, choice or actions, found {kind!r}")


def _answer(data: object, where: str) -> AnswerTemplate:
    data = _table(data, where)
    _check_keys(data, {f.name for f in fields(AnswerTemplate)}, set(), where)
    for name in ("action_count", "max_reasoning_tokens"):
        if type(data[name]) is not int or data[name] < 1:
            raise PromptError(f"{where}.{name}: expected a positive integer, found {data[name]!r}")
    if isinstance(data["step_s"], bool) or not isinstance(data["step_s"], int | float) or not data["step_s"] > 0:
        raise PromptError(f"{where}.step_s: expected seconds above zero, found {data['step_s']!r}")
    texts = [f.name for f in fields(AnswerTemplate) if f.type == "str"]
    answer = AnswerTemplate(**{**data, **{name: _text(data[name], f"{where}.{name}") for name in texts}})
    if answer.fast_fork == answer.slow_fork:
        raise PromptError(f"{where}: fast_fork and slow_fork are both {answer.fast_fork!r}")
    if _placeholders(answer.action_token, f"{where}.action_token") != ("index",):
        raise PromptError(f"{where}.action_token: expected one {{index}}, found {answer.action_token!r}")
    return answer


def _table(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise PromptError(f"{where}: expected a table, found {type(value).__name__}")
    return value


def _text(value: object, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise PromptError(f"{where}: expected text, found {value!r}")
    return value


def _check_keys(data: Mapping[str, Any], required: set[str], optional: set[str], where: str) -> None:
    missing, unknown = required - set(data), set(data) - required - optional
    if missing:
        raise PromptError(f"{where}: {sorted(missing)[0]!r} is missing")
    if unknown:
        raise PromptError(
            f"{where}: unknown key {sorted(unknown)[0]!r}: expected {', '.join(sorted(required | optional))}"
        )
