"""The tool itself: ten planted mutants die, which shows that the tests run the mutated code; nothing else does."""

from __future__ import annotations

import ast
import json
import math
from types import ModuleType

import pytest

from onboard_vla.safety import idm, last_resort

from .__main__ import run
from .operators import mutants
from .transplant import transplant

PLANTED = {
    "last_resort": (
        "6.0  ->  7.5",
        "acceleration_mps2 - JERK_MPS3 * times_s  ->  acceleration_mps2 + JERK_MPS3 * times_s",
        "-DECELERATION_MPS2  ->  DECELERATION_MPS2",
        "max(now_ns - self.from_ns, 0)  ->  min(now_ns - self.from_ns, 0)",
    ),
    "hazard_gate": (
        "speed_mps >= 0.5  ->  speed_mps > 0.5",
        "now_ns - self._since_ns < nanoseconds(self._stop.emergency_confirm_s)  ->  "
        "now_ns - self._since_ns <= nanoseconds(self._stop.emergency_confirm_s)",
        "self._since_ns is None  ->  self._since_ns is not None",
    ),
    "guards.staleness": (
        "age <= highest  ->  age < highest",
        "speed < SLOW_MPS  ->  speed >= SLOW_MPS",
        "placed.length_m - braking  ->  placed.length_m + braking",
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_mutants_die(name, tmp_path):
    row = run(name, tmp_path, 1, set(PLANTED[name]))
    assert row["green"], "a test of the suite is red without any mutant: see stderr"
    results = json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))["mutants"].values()
    assert {result["change"] for result in results} == set(PLANTED[name])
    assert {result["outcome"] for result in results} == {"killed"}


def test_ten_are_planted():
    assert sum(map(len, PLANTED.values())) == 10


SOURCE = """
import numpy as np
LIMIT: float = 2.0
SLOPES = np.array([3, 4])
def f(x, flag=True):
    '''Doc.'''
    if x < LIMIT and not flag:
        return -x
    return min(x + 1, 3)
class C:
    field: int = 7
    def g(self):
        return [1, 2][0]
"""


def test_every_kind_of_change_is_made_once_and_nothing_else():
    found = {mutant.change for mutant in mutants(SOURCE)}
    assert {
        "2.0  ->  2.5",
        "x < LIMIT and (not flag)  ->  x < LIMIT or not flag",
        "x < LIMIT and (not flag)  ->  not (x < LIMIT and (not flag))",
        "x < LIMIT  ->  x <= LIMIT",
        "x < LIMIT  ->  x >= LIMIT",
        "not flag  ->  flag",
        "-x  ->  x",
        "return -x  ->  return None",
        "x + 1  ->  x - 1",
        "min(x + 1, 3)  ->  max(x + 1, 3)",
        "True  ->  False",
    } <= found
    assert not any("Doc" in change or "7" in change for change in found)
    trees = [ast.unparse(mutant.tree) for mutant in mutants(SOURCE)]
    assert len(set(trees)) == len(trees)
    assert ast.unparse(ast.parse(SOURCE)) not in trees


def loaded(source):
    module = ModuleType("transplanted")
    module.__file__ = "transplanted.py"
    exec(compile(source, module.__file__, "exec"), module.__dict__)
    return module


def test_whoever_imported_a_function_or_method_before_runs_the_mutant():
    module = loaded(SOURCE)
    f, g = module.f, module.C().g
    for change, call, before, after in (
        ("x + 1  ->  x - 1", lambda: f(2), 3, 1),
        ("2.0  ->  2.5", lambda: f(2.2, False), 3, -2.2),
        ("True  ->  False", lambda: f(1), 2, -1),
        ("0  ->  1", g, 1, 2),
        ("3  ->  4", lambda: module.SLOPES.tolist(), [3, 4], [4, 4]),
    ):
        assert call() == before
        transplant(module, next(mutant.tree for mutant in mutants(SOURCE) if mutant.change == change))
        assert call() == after
        transplant(module, ast.parse(SOURCE))
        assert call() == before


KEEPING = """
from functools import cached_property, lru_cache
_KEPT = {}
@lru_cache
def f(x):
    return x + 1
def g(x):
    if x not in _KEPT:
        _KEPT[x] = x + 2
    return _KEPT[x]
class C:
    @cached_property
    def h(self):
        return 5 + 3
"""


def test_what_was_kept_from_before_hides_no_mutant():
    module = loaded(KEEPING)
    f = module.f
    for change, call, before, after in (
        ("x + 1  ->  x - 1", lambda: f(2), 3, 1),
        ("x + 2  ->  x - 2", lambda: module.g(7), 9, 5),
        ("5 + 3  ->  5 - 3", lambda: module.C().h, 8, 2),
    ):
        assert call() == before
        transplant(module, next(mutant.tree for mutant in mutants(KEEPING) if mutant.change == change))
        assert call() == after
        transplant(module, ast.parse(KEEPING))
        assert call() == before


@pytest.mark.parametrize("module", [idm, last_resort])
def test_an_unchanged_module_behaves_as_before(module):
    lead = idm.Lead(10.0, 0.0)
    before = idm.stop_behind(10.0, lead, 1.0, 8.0), last_resort.DECELERATION_MPS2
    with open(module.__file__, encoding="utf-8") as file:
        transplant(module, ast.parse(file.read()))
    assert (idm.stop_behind(10.0, lead, 1.0, 8.0), last_resort.DECELERATION_MPS2) == before
    assert math.isinf(idm.stop_behind(10.0, idm.Lead(0.5, 0.0), 1.0, 8.0))
