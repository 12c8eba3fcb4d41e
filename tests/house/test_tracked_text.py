"""No page or source carries what a merge left undone: a published page once told two stories between the marks."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MARKS = r"^(<{7}|>{7}|\|{7})( |$)"


def marked(folder: Path) -> list[str]:
    """Lines of tracked files that begin as a conflict's marks do, each with its file and number."""
    found = subprocess.run(["git", "grep", "-nE", MARKS], cwd=folder, capture_output=True, text=True, check=False)
    assert found.returncode in (0, 1), found.stderr
    return found.stdout.splitlines()


@pytest.fixture(autouse=True)
def _repository():
    if not (ROOT / ".git").exists():
        pytest.skip("no git repository: an unpacked archive")


def test_no_file_holds_the_marks_of_a_conflict():
    assert marked(ROOT) == []


def test_marks_are_found(tmp_path):
    (tmp_path / "page.md").write_text("a\n" + "<" * 7 + " HEAD\nb\n" + "=" * 7 + "\n" + ">" * 7 + " 1234567\n")
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    subprocess.run(["git", "add", "page.md"], cwd=tmp_path, check=True)
    assert [line.split(":")[1] for line in marked(tmp_path)] == ["2", "5"]
