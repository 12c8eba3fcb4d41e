"""The catalogue F1 to F30 as a table: what is injected, what is asked, and in what time; written from what runs.

`python -m onboard_vla.app.campaign.catalogue` rewrites the table of docs/faults.md; a test compares.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from onboard_vla.app.campaign.fault_case import ADVISORY, FAULTS, NUISANCE, REACH, STAY, FaultCase
from onboard_vla.app.campaign.pairs import PAIRED, TICK_MS, pairs
from onboard_vla.app.campaign.real import REAL_CASES, RealCase
from onboard_vla.app.campaign.slow_drift import ALARM, DRIFTS, HIGHEST, Drift
from onboard_vla.app.campaign.soak import FALLBACK_PER_HOUR, GROWTH_MIB_PER_HOUR
from onboard_vla.app.campaign.table import CASES
from onboard_vla.core.derived_text import with_section
from onboard_vla.core.safe_trajectory import Mode

PAGE = Path(__file__).resolve().parents[2] / "docs" / "faults.md"
SECTION = "catalogue"
VIRTUAL, REAL = "virtual time", "real processes"


@dataclass(frozen=True)
class CatalogueRow:
    """Variants of one fault of which the same is asked. `limit_ms`: None where nothing has to happen in a time."""

    fault: str
    variants: tuple[str, ...]
    where: str
    danger: str
    asked: str
    limit_ms: float | None
    named: tuple[str, ...]
    met_by: str
    note: str = ""

    @property
    def injected(self) -> str:
        """The variants in words."""
        return "; ".join(_merged(self.variants))

    @property
    def met(self) -> str:
        """By what, and how weakly."""
        return f"{self.met_by}; {self.note}" if self.note else self.met_by

    @property
    def asked_in_time(self) -> str:
        """What is asked, with its limit."""
        return self.asked if self.limit_ms is None else f"within {self.limit_ms:g} ms {self.asked}"

    @property
    def cells(self) -> tuple[str, ...]:
        """As text, in the order of `COLUMNS`."""
        limit = "" if self.limit_ms is None else f"{self.limit_ms:g}"
        return (self.fault, self.injected, self.where, self.danger, self.asked, limit, ", ".join(self.named), self.met)


COLUMNS = ("fault", "injected", "where", "class", "asked", "limit, ms", "named by one of", "met by")


def catalogue() -> list[CatalogueRow]:
    """All rows, by the faults' numbers."""
    rows = [*_virtual(), *map(_real, REAL_CASES), *(_drift(name, drift) for name, drift in DRIFTS.items()), *_others()]
    return sorted(rows, key=lambda row: int(row.fault[1:]))


def as_lines(rows: list[CatalogueRow]) -> list[str]:
    """A Markdown table, one line a row."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    for row in rows:
        first, *others = row.cells
        lines.append(f"| {' | '.join((f'{first} {FAULTS[row.fault]}', *others))} |")
    return lines


def catalogue_document(rows: list[CatalogueRow]) -> dict[str, object]:
    """For JSON."""
    return {"faults": FAULTS, "rows": [dataclasses.asdict(row) for row in rows]}


def with_catalogue(page: str) -> str:
    """The page of faults with its table brought up to date."""
    return with_section(page, SECTION, "\n".join(as_lines(catalogue())) + "\n")


def _virtual() -> Iterator[CatalogueRow]:
    groups: dict[tuple[object, ...], list[FaultCase]] = {}
    for case in CASES:
        asked = (
            case.fault,
            case.danger,
            _asked(case),
            case.limit_ms,
            case.names,
            case.provider,
            case.note,
            case.outright,
        )
        groups.setdefault(asked, []).append(case)
    for cases in groups.values():
        case = cases[0]
        yield CatalogueRow(
            case.fault,
            tuple(case.variant for case in cases),
            VIRTUAL,
            case.danger,
            _asked(case),
            case.limit_ms if case.asks == REACH else None,
            () if case.asks == STAY else case.names,
            case.provider,
            case.note,
        )


def _asked(case: FaultCase) -> str:
    level = f"L{case.mode.value}" if case.mode > Mode.NOMINAL else "reported"
    if case.asks == STAY:
        return f"at most {level}, no flapping"
    if case.asks == REACH:
        return level if case.lasting is None else f"{level}; L{case.lasting.value} if it lasts"
    return "no spoiled plan drives" if case.outright else "no spoiled plan drives in a way that ends badly"


def _real(case: RealCase) -> CatalogueRow:
    asked = "the vehicle's gate stops" if case.mode is None else f"L{case.mode.value}"
    if case.disk_full:
        asked = f"named; at most {asked}, no process ends, no pause"
    names = (case.names,) if case.names else ()
    return CatalogueRow(case.fault, (case.variant,), REAL, "", asked, case.limit_ms, names, "")


def _drift(name: str, drift: Drift) -> CatalogueRow:
    if drift.limit_s is None:
        return CatalogueRow("F28", ("no drift",), VIRTUAL, NUISANCE, f"no {ALARM}", None, (), "drift monitor")
    asked = f"named; at most L{HIGHEST.value}"
    return CatalogueRow("F28", (name,), VIRTUAL, ADVISORY, asked, 1e3 * drift.limit_s, (ALARM,), "drift monitor")


def _others() -> Iterator[CatalogueRow]:
    """What is no message that went wrong: a scene, a start, two faults, time."""
    avoided = "no contact where a reference driver avoids it"
    yield CatalogueRow("F21", ("scenario family S2",), VIRTUAL, "", avoided, None, (), "hazard gate, fallback")
    wrong = ("settings or thresholds that are of another bundle, missing, not finite, in another unit or order",)
    yield CatalogueRow("F25", wrong, "start-up", "", "refused, or never below L2", None, (), "start-up checks")
    together = f"what the worse asks alone, {TICK_MS:g} ms later at most"
    names = (f"{len(pairs())} pairs of {PAIRED[0]} to {PAIRED[-1]}",)
    yield CatalogueRow("F29", names, VIRTUAL, "", together, None, (), "the ladder: the highest request counts")
    rates = f"L2 at most {FALLBACK_PER_HOUR:g}/h, no L3 or L4, memory grows by {GROWTH_MIB_PER_HOUR:g} MiB/h at most"
    yield CatalogueRow("F30", ("no fault",), VIRTUAL, "", rates, None, (), "all")


def _merged(variants: tuple[str, ...]) -> list[str]:
    """Variants that differ in one signed number are one: "stamps -10, +50 ms"."""
    merged: dict[tuple[str, str], list[str]] = {}
    for variant in variants:
        found = re.fullmatch(r"(.*) ([+-]\d+)( .*)?", variant)
        before, number, after = found.groups(default="") if found else (variant, "", "")
        merged.setdefault((before, after), []).append(number)
    return [f"{before} {', '.join(numbers)}{after}".strip() for (before, after), numbers in merged.items()]


def main() -> int:
    """Rewrite the table."""
    PAGE.write_text(with_catalogue(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
