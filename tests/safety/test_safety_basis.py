"""Where a setting says its number comes from can be looked up."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BASIS = (ROOT / "docs" / "safety-basis.md").read_text()
SECTIONS = set(re.findall(r"^#{2,3} (\d+(?:\.\d+)?) ", BASIS, re.MULTILINE))
SETTINGS = ROOT / "safety" / "supervisor.yaml"


def cited() -> set[str]:
    """Section numbers in the comments above the values: "; default ...; 2.6 recommended"."""
    comments = re.sub(r"\n *# ", " ", SETTINGS.read_text())
    return {found.split()[0] for found in re.findall(r"default [^;\n]*; (\d+(?:\.\d+)?)[ ,:;\n]", comments)}


def test_every_section_that_a_setting_cites_exists():
    assert len(cited()) >= 8, "the comments' form has changed"
    assert cited() - SECTIONS == set()
