"""Writes what is derived from the tables of settings: `supervisor.yaml` and the parameters of the room's README.

`python -m onboard_vla.safety.config_documents` rewrites both; a test compares.
"""

from __future__ import annotations

import dataclasses
import sys
import typing
from collections.abc import Iterator
from pathlib import Path

from onboard_vla.core.derived_text import with_section
from onboard_vla.core.validated import Validated, expected_value
from onboard_vla.safety.config import SupervisorConfig
from onboard_vla.safety.config_file import write_config

ROOM = Path(__file__).parent
README, EXAMPLE = ROOM / "README.md", ROOM / "supervisor.yaml"
PARAMETERS = "parameters"


def groups(kind: type = SupervisorConfig, where: str = "") -> Iterator[tuple[str, type]]:
    """All tables of settings with their keys in the file, the outermost first."""
    yield where, kind
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        if isinstance(hints[field.name], type) and issubclass(hints[field.name], Validated):
            yield from groups(hints[field.name], f"{where}.{field.name}".lstrip("."))


def parameter_tables() -> str:
    """Every setting: key, default, what it accepts, where its default comes from."""
    lines: list[str] = []
    for where, kind in groups():
        summary = " ".join(str(kind.__doc__).split("\n\n")[0].split())
        lines += [f"**`{where or 'file'}`** — {summary}", ""]
        lines += ["| key | default | accepts | source |", "|---|---|---|---|"]
        for field in dataclasses.fields(kind):
            if "source" in field.metadata:
                default = f"{field.default:.4g}" if isinstance(field.default, (int, float)) else _words(field.default)
                cells = (f"`{field.name}`", default, expected_value(field), field.metadata["source"])
                lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def with_tables(text: str) -> str:
    """A README's text with its parameters brought up to date."""
    return with_section(text, PARAMETERS, parameter_tables())


def _words(value: object) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def main() -> int:
    """Rewrite both."""
    EXAMPLE.write_text(write_config(SupervisorConfig()), encoding="utf-8")
    README.write_text(with_tables(README.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
