"""What people are told to install exists: no index has this project, and an extra is one of `pyproject.toml`."""

from __future__ import annotations

import re
from pathlib import Path

from onboard_vla.core.installation import installation

ROOT = Path(__file__).resolve().parents[2]
ROOMS = sorted(path.name for path in (ROOT / "onboard_vla").iterdir() if path.is_symlink())


def texts() -> dict[Path, str]:
    suffixes = {".py", ".md", ".xml", ".yaml", ""}
    folders = (*(ROOT / room for room in ROOMS), ROOT / "docs", ROOT / "examples", ROOT / "benchmarks")
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file() and path.suffix in suffixes]
    return {path: path.read_text(encoding="utf-8", errors="ignore") for path in (*files, ROOT / "README.md")}


def test_nobody_is_sent_to_an_index_that_does_not_have_it() -> None:
    named = [str(path) for path, text in texts().items() if re.search(r"pip install ['\"`]?onboard-vla", text)]

    assert named == []


def test_every_extra_that_is_named_exists() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    known = set(re.findall(r"^(\w+) = \[", project.partition("[project.optional-dependencies]")[2], re.MULTILINE))
    asked = {name for text in texts().values() for name in re.findall(r"installation\(['\"](\w+)['\"]\)", text)}

    assert {"ros", "export", "trt"} <= asked <= known


def test_the_words_are_a_command_that_a_shell_takes() -> None:
    assert installation() == "pip install . in a clone of Onboard VLA"
    assert installation("ros") == "pip install '.[ros]' in a clone of Onboard VLA"
