"""Mutation testing of one module inside one pytest session: collect once, then a forked child per mutant.

The session first runs the suite unchanged, notes which test runs which line of the module, and how long it takes. A
mutant is then judged by the tests that run its line, those first that killed most before it, then the fastest. It is
killed where one fails, survives where all pass, and counts as a survivor, too, where no test runs its line or the tests
take too long.
"""

from __future__ import annotations

import gc
import hashlib
import importlib
import json
import os
import select
import signal
import sys
import time
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import hypothesis
import pytest

from .operators import Mutant, mutants
from .transplant import empty_caches, transplant

KILLED, SURVIVED, UNCOVERED, TIMEOUT = "killed", "survived", "uncovered", "timeout"
TIMEOUT_S = 10.0
"""On top of five times what the mutant's tests take unchanged."""


class Campaign:
    """A pytest plugin that replaces the run of the tests. `wanted`: changes to try, all where empty."""

    def __init__(self, module: str, store: Path, jobs: int, wanted: Collection[str] = ()) -> None:
        self.module, self.store, self.jobs, self.wanted = module, store, jobs, wanted
        self.results: dict[str, dict[str, object]] = {}
        self.failed_unchanged: list[str] = []
        self._kills: Counter[int] = Counter()
        # Before tests are collected, because their own settings take these over; a counterexample need not be small.
        looking = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        hypothesis.settings.register_profile(
            "mutation",
            derandomize=True,
            deadline=None,
            suppress_health_check=[hypothesis.HealthCheck.too_slow],
            database=None,
            phases=looking,
            report_multiple_bugs=False,
        )
        hypothesis.settings.load_profile("mutation")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        target = importlib.import_module(self.module)
        source = Path(target.__file__ or "").read_text(encoding="utf-8")
        key = self._key(session, source)
        lines, seconds = self._unchanged(session, target.__file__)
        if self.failed_unchanged:
            return True
        self.results = self._resume(key)
        todo = []
        for mutant in mutants(source):
            if mutant.where in self.results or (self.wanted and mutant.change not in self.wanted):
                continue
            todo.append(mutant)
        self._try_all(session, target, todo, lines, seconds, key)
        return True

    def _key(self, session: pytest.Session, source: str) -> str:
        """What results hold for: the module, its suite, and how mutants are made and put in."""
        digest = hashlib.sha256(source.encode())
        suite = sorted({Path(item.path) for item in session.items})
        tool = [Path(__file__).parent / name for name in ("operators.py", "transplant.py")]
        for path in (*suite, *tool):
            digest.update(path.read_bytes())
        return digest.hexdigest()

    def _resume(self, key: str) -> dict[str, dict[str, object]]:
        if not self.store.exists():
            return {}
        kept = json.loads(self.store.read_text(encoding="utf-8"))
        return kept["mutants"] if kept["key"] == key else {}

    def _save(self, key: str) -> None:
        self.store.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"key": key, "module": self.module, "mutants": self.results}, indent=1)
        part = self.store.with_suffix(".part")
        part.write_text(text, encoding="utf-8")
        part.replace(self.store)

    def _unchanged(self, session: pytest.Session, file: str) -> tuple[dict[int, list[int]], list[float]]:
        """Tests (by place in the session) per line of the module, and seconds per test; untraced times."""
        lines: dict[int, list[int]] = {}
        seconds = []
        for place, item in enumerate(session.items):
            seen: set[int] = set()

            def local(frame, event, _argument, seen=seen):
                if event == "line":
                    seen.add(frame.f_lineno)
                return local

            def trace(frame, _event, _argument, local=local):
                return local(frame, "line", None) if frame.f_code.co_filename == file else None

            empty_caches(sys.modules[self.module])  # so that every test runs the lines that it needs
            sys.settrace(trace)
            begun = time.monotonic()
            try:
                failed = _first_failure(session, [item])
            finally:
                sys.settrace(None)
            seconds.append(time.monotonic() - begun)
            if failed is not None:
                self.failed_unchanged.append(f"{item.nodeid}\n{failed.why}")
            for line in seen:
                lines.setdefault(line, []).append(place)
        return lines, seconds

    def _try_all(self, session, target, todo, lines, seconds, key) -> None:
        running: dict[int, tuple[Mutant, int, float]] = {}
        queue, begun, last_saved = list(reversed(todo)), time.monotonic(), time.monotonic()
        total, everything = len(todo), list(range(len(session.items)))
        # What was made until now is no garbage: a child that looked through it would copy it page by page.
        gc.freeze()
        while queue or running:
            while queue and len(running) < self.jobs:
                mutant = queue.pop()
                in_function = _in_function(mutant)
                chosen = _tests_of(mutant, lines) if in_function else everything
                if not chosen:
                    self._note(mutant, UNCOVERED)
                    continue
                chosen = sorted(chosen, key=lambda place: (-self._kills[place], seconds[place]))
                pid, says = self._fork(session, target, mutant, chosen)
                allowed = TIMEOUT_S + 5 * sum(seconds[place] for place in chosen)
                running[pid] = (mutant, says, time.monotonic() + allowed)
            self._collect(running)
            if time.monotonic() - last_saved > 10.0:
                last_saved = time.monotonic()
                self._save(key)
                _say(f"{self.module}: {total - len(queue) - len(running)}/{total} in {last_saved - begun:.0f} s")
        self._save(key)

    def _collect(self, running) -> None:
        for pid, (mutant, says, until) in list(running.items()):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                self._note(mutant, SURVIVED if status == 0 else KILLED)
                self._kills.update(map(int, os.read(says, 16).split()))
            elif time.monotonic() > until:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                self._note(mutant, TIMEOUT)
            else:
                continue
            os.close(says)
            del running[pid]
        if running:
            select.select([], [], [], 0.005)

    def _note(self, mutant: Mutant, outcome: str) -> None:
        self.results[mutant.where] = {"line": mutant.line, "change": mutant.change, "outcome": outcome}

    def _fork(self, session, target, mutant: Mutant, places: list[int]) -> tuple[int, int]:
        """The child's number, and where it writes the place of the test that failed."""
        says, place_of_failure = os.pipe()
        pid = os.fork()
        if pid:
            os.close(place_of_failure)
            return pid, says
        status = 1
        try:
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
            transplant(target, mutant.tree)
            failed = _first_failure(session, [session.items[place] for place in places])
            if failed is None:
                status = 0
            else:
                os.write(place_of_failure, str(places[failed.place]).encode())
        except BaseException:
            status = 1
        finally:
            os._exit(status)


class _Failure(NamedTuple):
    place: int
    why: str


def _first_failure(session: pytest.Session, items) -> _Failure | None:
    """Run these tests until one fails: its place among them, and what it said."""
    from _pytest.runner import runtestprotocol

    for place, item in enumerate(items):
        item._initrequest()
        following = items[place + 1] if place + 1 < len(items) else None
        reports = runtestprotocol(item, log=False, nextitem=following)
        for report in reports:
            if report.failed:
                return _Failure(place, report.longreprtext)
    return None


def _tests_of(mutant: Mutant, lines: dict[int, list[int]]) -> list[int]:
    """Tests that run the mutant's line; a line inside a longer statement counts by the statement's first lines."""
    for line in range(mutant.line, max(mutant.line - 12, 0), -1):
        if line in lines:
            return lines[line]
    return []


def _in_function(mutant: Mutant) -> bool:
    import ast

    return any(
        isinstance(node, ast.FunctionDef) and node.lineno < mutant.line <= (node.end_lineno or 0)
        for node in ast.walk(mutant.tree)
    )


def _say(text: str) -> None:
    sys.__stderr__.write(text + "\n")
