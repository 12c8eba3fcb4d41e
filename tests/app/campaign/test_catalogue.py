"""The catalogue as people and machines read it: the page's table is what runs, and a pipe gets one line a row."""

from __future__ import annotations

import json

from onboard_vla.app import cli
from onboard_vla.app.campaign.catalogue import COLUMNS, PAGE, VIRTUAL, catalogue, with_catalogue
from onboard_vla.app.campaign.fault_case import FAULTS, REACH
from onboard_vla.app.campaign.real import REAL_CASES
from onboard_vla.app.campaign.table import CASES
from onboard_vla.world.scenarios.families import FAMILIES, cells


def test_the_page_holds_the_catalogue_that_runs():
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_catalogue(page), "run python -m onboard_vla.app.campaign.catalogue"


def test_every_fault_and_every_variant_has_its_row_with_its_own_limit():
    rows = catalogue()
    assert list(dict.fromkeys(row.fault for row in rows)) == list(FAULTS)
    for case in CASES:
        (row,) = [r for r in rows if r.where == VIRTUAL and r.fault == case.fault and case.variant in r.variants]
        assert (row.danger, row.limit_ms) == (case.danger, case.limit_ms if case.asks == REACH else None)
    for case in REAL_CASES:
        (row,) = [r for r in rows if r.fault == case.fault and r.variants == (case.variant,)]
        assert row.limit_ms == case.limit_ms


def test_a_pipe_gets_one_line_a_row_and_json_the_same_rows(tmp_path, capsys):
    assert cli.run(["faults", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + len(catalogue())
    assert {line.count(" | ") for line in lines if not line.startswith("|---")} == {len(COLUMNS) - 1}

    assert cli.run(["faults", "--list", "--json", str(tmp_path / "out" / "f.json")]) == 0
    document = json.loads((tmp_path / "out" / "f.json").read_text())
    assert document["faults"] == FAULTS
    assert [row["limit_ms"] for row in document["rows"]] == [row.limit_ms for row in catalogue()]


def test_the_page_counts_the_cells_that_there_are():
    page = PAGE.read_text()
    table = page[page.index("| family | cells | what |") :].partition("\n\n")[0]
    rows = [line.split("|")[1:3] for line in table.splitlines()[2:]]
    told = {
        family.strip(): int(count.replace(" ", ""))
        for families, counts in rows
        for family, count in zip(families.split(","), counts.split(","), strict=True)
    }
    there = {family: sum(1 for _ in cells(family)) for family in FAMILIES}
    assert told == there
    total = f"{sum(there.values()):,}".replace(",", " ")
    cut_in = f"{there['S2']:,}".replace(",", " ")
    assert f"every scenario cell ({total}, of which {cut_in} are the cut-in grid)" in " ".join(page.split())
