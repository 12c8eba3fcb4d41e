"""`python -m tests.mutation [module ...]`: mutate the guards, the ladder and the fallback; fail below the score.

Results go to out/mutation/, one file a module, and are kept: a second run tries only what changed. The table and all
survivors are in out/mutation/summary.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

from .targets import SUITES

ROOT = Path(__file__).resolve().parents[2]
MINIMUM = 0.90
OUTCOMES = ("killed", "survived", "uncovered", "timeout")


def main() -> int:
    """Run, print the table, and fail where a suite is red or too little is killed."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("modules", nargs="*", help=f"below onboard_vla.safety; all by default: {', '.join(SUITES)}")
    parser.add_argument("--jobs", type=int, default=max(1, (os.cpu_count() or 2) - 1))
    parser.add_argument("--minimum", type=float, default=MINIMUM, help="share of mutants that must be killed")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "mutation")
    options = parser.parse_args()
    chosen = options.modules or list(SUITES)
    if unknown := [name for name in chosen if name not in SUITES]:
        parser.error(f"expected modules among {', '.join(SUITES)}; found {', '.join(unknown)}")
    rows = [run(name, options.out, options.jobs) for name in chosen]
    killed = sum(row["killed"] for row in rows)
    total = sum(row["mutants"] for row in rows)
    table = render(rows, killed, total)
    sys.stdout.write(table)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "summary.md").write_text(table + survivors(options.out, rows), encoding="utf-8")
    (options.out / "summary.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return 0 if total and all(row["green"] for row in rows) and killed >= options.minimum * total else 1


def run(name: str, out: Path, jobs: int, wanted: Collection[str] = ()) -> dict[str, object]:
    """Mutate one module in a fresh process: tests that ran in this one have left their marks on the suite."""
    store = out / f"{name}.json"
    command = [sys.executable, "-m", "tests.mutation.session", name, str(store), str(jobs), *sorted(wanted)]
    if subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=False).returncode:
        return {"module": name, "green": False, "mutants": 0, **dict.fromkeys(OUTCOMES, 0)}
    results = json.loads(store.read_text(encoding="utf-8"))["mutants"].values()
    counts = {outcome: sum(result["outcome"] == outcome for result in results) for outcome in OUTCOMES}
    return {"module": name, "green": True, "mutants": len(results), **counts}


def survivors(out: Path, rows: list[dict[str, object]]) -> str:
    """What was not killed, by module, as Markdown: line and column, outcome, change."""
    lines = []
    for row in rows:
        if not row["mutants"] or row["killed"] == row["mutants"]:
            continue
        lines += ["", f"## {row['module']}", ""]
        results = json.loads((out / f"{row['module']}.json").read_text(encoding="utf-8"))["mutants"]
        alive = {where: result for where, result in results.items() if result["outcome"] != "killed"}
        lines += [f"- {where}, {result['outcome']}: `{result['change']}`" for where, result in alive.items()]
    return "\n".join([*lines, ""])


def render(rows: list[dict[str, object]], killed: int, total: int) -> str:
    """The table of results as Markdown."""
    lines = ["| module | mutants | killed | survived | uncovered | timeout | score |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        share = f"{row['killed'] / row['mutants']:.1%}" if row["mutants"] else "suite is red"
        lines.append(
            f"| {row['module']} | {row['mutants']} | " + " | ".join(str(row[o]) for o in OUTCOMES) + f" | {share} |"
        )
    share = f"{killed / total:.1%}" if total else "-"
    return "\n".join([*lines, f"| **all** | {total} | {killed} | | | | **{share}** |", ""])


if __name__ == "__main__":
    sys.exit(main())
