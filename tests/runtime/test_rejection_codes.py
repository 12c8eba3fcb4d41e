"""The rejection codes that runtime/README.md lists are those that the code can give."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import onboard_vla.runtime
from onboard_vla.runtime import answer_grammar, planner_body

FOLDER = Path(onboard_vla.runtime.__file__).parent


def codes_given() -> set[str]:
    """What stands as the code in every rejection that is made, names looked up where they are defined."""
    found = {planner_body.PLANNER_FAILED, *planner_body.REJECTION_CODES.values()}
    for path in FOLDER.glob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
                continue
            place = {"PlanRejection": 2, "DecodeError": 0}.get(call.func.id)
            code = None if place is None or len(call.args) <= place else call.args[place]
            if isinstance(code, ast.Constant):
                found.add(code.value)
            elif isinstance(code, ast.Name) and code.id.isupper():
                found.add(getattr(answer_grammar, code.id))
    return found


def test_the_list_of_rejection_codes_is_complete_and_has_no_other():
    row = next(
        line for line in (FOLDER / "README.md").read_text(encoding="utf-8").splitlines() if "`PlanRejection`" in line
    )
    listed = set(re.findall(r"`([a-z_]+)`", row))
    assert listed == codes_given()
    assert len(listed) > 10
