"""Every `onboard-vla` command that a page names can be typed: command and options exist, values stand where needed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from onboard_vla.app.cli import USAGE_ERROR, app

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path
    for pattern in (
        "*.md",
        "docs/*.md",
        "*/README.md",
        "world/reference/CARD.md",
        "examples/**/*.md",
        "examples/**/*.yaml",
    )
    for path in ROOT.glob(pattern)
    if "onboard_vla" not in path.relative_to(ROOT).parts and path.name != "CHANGELOG.md"
)
FENCED, INLINE = re.compile(r"```[a-z]*\n(.*?)```", re.S), re.compile(r"`(onboard-vla [^`]+)`")


def commands(text: str) -> list[str]:
    """Lines of blocks, with their continuations and without comments, and what stands between single backticks."""
    blocks = "\n".join(FENCED.findall(text)).replace("\\\n", " ")
    lines = [line.partition(" #")[0].strip() for line in blocks.splitlines()]
    return [line for line in lines if line.startswith("onboard-vla ")] + INLINE.findall(FENCED.sub("", text))


def parse(line: str) -> None:
    """Walk to the command and parse its words; values are not converted, so that placeholders pass."""
    words = shlex.split(re.split(r" [|>&] ?", line)[0])[1:]
    command = typer.main.get_command(app)
    context = typer.Context(command, info_name="onboard-vla")
    while words and not words[0].startswith("-") and hasattr(command, "get_command"):
        found = command.get_command(context, words[0])
        assert found is not None, f"no command {words[0]}"
        command, words = found, words[1:]
    if not command.context_settings.get("ignore_unknown_options"):  # `train` hands its words on
        command.make_parser(context).parse_args(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_documented_commands_can_be_typed(page):
    for line in commands(page.read_text(encoding="utf-8")):
        try:
            parse(line)
        except (USAGE_ERROR, AssertionError) as error:
            pytest.fail(f"{line}: {getattr(error, 'message', error)}")


def test_a_value_that_is_missing_or_an_unknown_option_is_found():
    assert commands("see `onboard-vla evaluate\n--json`\n```\nonboard-vla doctor --jsn  # x\n```") == [
        "onboard-vla doctor --jsn",
        "onboard-vla evaluate\n--json",
    ]
    for line in ("onboard-vla evaluate\n--json", "onboard-vla doctor --jsn"):
        with pytest.raises(USAGE_ERROR):
            parse(line)
