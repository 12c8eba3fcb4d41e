"""The configuration as one YAML file: written from the tables of the dataclasses, read back against them.

Reading takes the tree of nodes that a YAML parser composes, not the values it would construct: so a key that stands
twice is seen, every complaint names its line, and a number is what Python reads as one (YAML's own rules turn `1e-3`
into a word, `010` into eight and `1:30` into ninety).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from onboard_vla.core.errors import ConfigurationError
from onboard_vla.core.process import Option, OptionValue
from onboard_vla.core.thresholds import Thresholds
from onboard_vla.core.validated import accepts, expected_value
from onboard_vla.safety.config import SupervisorConfig

CONFIG_OPTION = Option("config", str, "", "configuration file (YAML) of supervisor and camera guard; without: defaults")
SCHEMA = 1
"""Version of the file's layout; its first key."""
THRESHOLDS = "thresholds"
HEADER = """\
# Settings of supervisor and camera guard. Each line above a value: what it accepts, its default, where that comes from;
# section numbers are those of docs/safety-basis.md, "own" is a choice made here.
# Keys that are left out keep their default; unknown keys, wrong types and values out of range are refused.
# Check with `onboard-vla config check FILE`; what a file amounts to: `onboard-vla config show FILE`.
"""
COMMENT_WIDTH = 118


class Node(Protocol):
    """What a YAML parser composes: `value` is a word's text, or a list of nodes, or of pairs of them."""

    value: Any
    tag: str
    start_mark: Any


Compose = Callable[[str], Any]
"""Text to the root node, such as `yaml.compose`; None for an empty text."""


def config_hash(config: SupervisorConfig) -> str:
    """SHA-256 over every setting in effect, thresholds included: equal hashes mean equal settings."""
    document = {"schema": SCHEMA, **dataclasses.asdict(config)}
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def write_config(config: SupervisorConfig, thresholds_path: str = "") -> str:
    """The file's text for these settings; reading it gives the same settings, if the thresholds file is the same."""
    lines = [HEADER + f"schema: {SCHEMA}"]
    lines += _write(config, 0, thresholds_path)
    return "\n".join(lines) + "\n"


def read_config(path: Path, compose: Compose) -> SupervisorConfig:
    """Read and check a file; a thresholds file's path counts from the file's folder.

    Raises:
        ConfigurationError: the file, or a key in it, is not as it should be; names line, key, expected and found.
        BundleError: the thresholds file is damaged or missing.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        found = "a folder" if path.is_dir() else error.strerror if isinstance(error, OSError) else "no UTF-8"
        expected = "expected a YAML file, as `onboard-vla config show` writes it"
        raise ConfigurationError(f"configuration {path} cannot be read: {expected}, found {found}") from None
    config, name = parse_config(text, str(path), compose)
    return dataclasses.replace(config, thresholds=Thresholds.load(path.parent / name) if name else None)


def parse_config(text: str, where: str, compose: Compose) -> tuple[SupervisorConfig, str]:
    """The settings in a file's text, without thresholds, and the path that it names for these ("" for none).

    Raises:
        ConfigurationError: the text, or a key in it, is not as it should be; `where` stands in the complaint.
    """
    try:
        root = compose(text)
    except Exception as error:  # the parser's own hierarchy, which this room does not import
        raise ConfigurationError(f"configuration {where} is no YAML: {' '.join(str(error).split())}") from None
    if root is None:
        raise ConfigurationError(f"configuration {where} is empty: expected `schema: {SCHEMA}` and settings")
    pairs = dict(_pairs(root, where, ""))
    schema = pairs.pop("schema", None)
    if schema is None or schema.value != str(SCHEMA):
        found = "none" if schema is None else repr(schema.value)
        raise ConfigurationError(f"{where}: schema: expected {SCHEMA}, found {found}")
    name = ""
    if (node := pairs.pop(THRESHOLDS, None)) is not None:
        word = _word(node)
        if word is None:
            raise _fault(where, node, THRESHOLDS, "a path, or nothing in quotes")
        name = word
    config: SupervisorConfig = _read(SupervisorConfig, pairs, where, "")
    return config, name


def given_config(options: Mapping[str, OptionValue], compose: Compose) -> SupervisorConfig:
    """The configuration that a process was started with: the file's, or the defaults where none was named.

    Raises:
        ConfigurationError, BundleError: as `read_config`.
    """
    path = str(options[CONFIG_OPTION.name])
    return read_config(Path(path), compose) if path else SupervisorConfig()


def described(field: dataclasses.Field[Any]) -> str:
    """What a value accepts, its default, and where that comes from."""
    return f"{expected_value(field)}; default {_spell(field.default)}; {field.metadata['source']}"


def _write(settings: Any, depth: int, thresholds_path: str) -> Iterator[str]:  # noqa: ANN401 - any of the tables
    indent = "  " * depth
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if field.name == THRESHOLDS:
            yield f"{indent}# path of the thresholds file, from this file's folder; without it L2 at best"
            yield f"{indent}{THRESHOLDS}: {json.dumps(thresholds_path)}"
        elif dataclasses.is_dataclass(value):
            yield ""
            yield from (f"{indent}# {line}" for line in _wrapped(str(value.__doc__).split("\n\n")[0], len(indent)))
            yield f"{indent}{field.name}:"
            yield from _write(value, depth + 1, "")
        else:
            yield from (f"{indent}# {line}" for line in _wrapped(described(field), len(indent)))
            yield f"{indent}{field.name}: {_spell(value)}"


def _wrapped(text: str, indent: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + len(word) + indent + 3 > COMMENT_WIDTH:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _spell(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(json.dumps, value))}]"
    return json.dumps(value)


def _pairs(node: Node, path: str, where: str) -> Iterator[tuple[str, Node]]:
    if not node.tag.endswith(":map"):
        raise _fault(path, node, where or "file", "a table of keys and values")
    seen: set[str] = set()
    for key, value in node.value:
        name = key.value if isinstance(key.value, str) else ""
        if name in seen:
            raise _fault(path, key, f"{where}.{name}".lstrip("."), "each key once")
        seen.add(name)
        yield name, value


def _read(kind: type, pairs: dict[str, Node], path: str, where: str) -> Any:  # noqa: ANN401 - one of the tables
    fields = {field.name: field for field in dataclasses.fields(kind) if field.name != THRESHOLDS}
    hints = typing.get_type_hints(kind)
    given: dict[str, Any] = {}
    for name, node in pairs.items():
        key = f"{where}.{name}".lstrip(".")
        field = fields.get(name)
        if field is None:
            raise ConfigurationError(f"{_place(path, node)}: {key} is no setting: expected one of {', '.join(fields)}")
        if dataclasses.is_dataclass(hints[name]):
            given[name] = _read(hints[name], dict(_pairs(node, path, key)), path, key)
            continue
        value = _value(field, node)
        if not accepts(field, value):
            raise _fault(path, node, key, expected_value(field))
        given[name] = value
    try:
        return kind(**given)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def _value(field: dataclasses.Field[Any], node: Node) -> object:
    """The value in the field's type; None where the node cannot be that."""
    if type(field.default) is tuple:
        return tuple(_word(item) for item in node.value) if node.tag.endswith(":seq") else None
    if type(field.default) is str:
        return _word(node)
    if node.tag.endswith((":map", ":seq")) or getattr(node, "style", None):
        return None
    try:
        return int(node.value) if type(field.default) is int else _number(node.value)
    except ValueError:
        return None


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number) or "_" in text:
        raise ValueError(text)
    return number


def _word(node: Node) -> str | None:
    return str(node.value) if node.tag.endswith(":str") else None


def _fault(path: object, node: Node, key: str, expected: str) -> ConfigurationError:
    found = node.value if isinstance(node.value, str) else f"a {node.tag.rpartition(':')[2]}"
    return ConfigurationError(f"{_place(path, node)}: {key}: expected {expected}, found {found!r}")


def _place(path: object, node: Node) -> str:
    return f"{path}, line {node.start_mark.line + 1}"
