"""The campaign's HTML report: one file, nothing to fetch."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from onboard_vla.app.campaign.fault_case import FAULTS
from onboard_vla.app.campaign.outcome import OUTCOMES
from onboard_vla.app.report.page import STYLE
from onboard_vla.app.report.style import INK, MODE_COLOURS, PALE_INK, inline_svg, new_figure

ROW_HEIGHT_IN = 0.17


def page(content: dict[str, Any]) -> str:
    """The report of a campaign's document (see report.schema.json)."""
    kind = "pass" if content["outcome"] == "PASS" else "other"
    counts = content["counts"]
    title = "Onboard VLA: fault campaign"
    parts = [
        f"<h1>{title}</h1>",
        f"<p>{counts['virtual_injections']} injections in virtual time, {counts['real_injections']} on real processes; "
        f"{counts['virtual_injections_monitor_off']} more with the monitor off, {counts['virtual_controls']} controls "
        f"without a fault, {counts['recoveries']} recoveries, {counts['golden_drives']} golden drives.</p>",
        f'<p class="verdict {kind}">{content["outcome"]}'
        + (": " + _text(f"{len(content['reasons'])} reasons, below") if content["reasons"] else "")
        + "</p>",
        _list(content["reasons"]),
        "<h2>Outcome by fault</h2>",
        "<p>Masked: nothing had to change and nothing bad happened. Handled: in time. Late: after the limit or never, "
        "without harm. Driven: a plan drove that had to be refused, without harm. Silent unsafe: harm before any "
        "reaction. Unsafe: harm although the system had reacted. Bounds: 95 %, Clopper and Pearson, on the share that "
        "was neither masked nor handled.</p>",
        _outcomes(content["rows"]),
        "<h2>Reaction times</h2>",
        "<p>Milliseconds of virtual time. FDTI: to the first output that names the cause; FRTI: from there to the "
        "first output of the mode asked for; FHTI: both, from the first message that the fault touched.</p>",
        _reaction_plot(content["rows"]),
        _table([_time_row(row) for row in content["rows"] if row["asks"] == "reach"], TIME_COLUMNS),
        "<h2>With the monitor off</h2>",
        "<p>The same situations and faults with a supervisor that passes plans on. A fault is called dangerous only if "
        f"it then ends in a collision, off the road or over a red light. Without any fault: "
        f"{_share(content['controls']['off'])} with the monitor off, {_share(content['controls']['on'])} with it.</p>",
        _table([_danger_row(row) for row in content["danger"]], ("fault", "harmed", "95 % bounds", "dangerous")),
        "<h2>After the fault</h2>",
        "<p>The fault stays for 3 s, the road user ahead drives on. Faults that ask for L2 or less: the model drives "
        "again within 10 s, without an operator. Faults that ask for L3 or more: the stop is not left.</p>",
        _table([_recovery_row(row) for row in content["recovery"]], RECOVERY_COLUMNS),
        "<h2>Slow drift (F28)</h2>",
        _table([_drift_row(row) for row in content["drifts"]], DRIFT_COLUMNS),
        "<h2>Scenario families</h2>",
        "<p>Driven by the fallback alone, under the real supervisor. Unavoidable: no reference driver of UN R157 "
        "avoids contact with the same perception and actuators; such cells are counted, not left out.</p>",
        _table([_family_row(row) for row in content["scenarios"]], FAMILY_COLUMNS),
        _scores(content["fallback_scores"]),
        "<h2>Starts with something wrong (F25)</h2>",
        _table([(s["variant"], "yes" if s["held"] else "NO", s["found"]) for s in content["start_ups"]], START_COLUMNS),
        "<h2>Golden drives: no fault</h2>",
        _golden(content),
        "<h2>Real processes</h2>",
        _real_rows(content["real_rows"]),
        _real(content["real"]),
        "<h2>Not run here</h2>",
        _list([f"{fault} {FAULTS[fault]}: {why}" for fault, why in content["not_run"].items()])
        or "<p>Every fault ran.</p>",
        "<h2>What this was made of</h2>",
        _table(_flat({**content["asked"], **content["provenance"]}), ("", "")),
        "<p>What a campaign does not show: docs/faults.md.</p>",
    ]
    head = f'<head><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style></head>'
    return f'<!DOCTYPE html>\n<html lang="en">{head}<body>\n' + "\n".join(parts) + "\n</body></html>\n"


FAMILY_COLUMNS = (
    "",
    "family",
    "cells",
    "avoidable",
    "unavoidable",
    "contacts where unavoidable",
    "missed",
    "upper 95 % bound",
    "first missed",
)
START_COLUMNS = ("what is wrong", "refused or at L2", "found")
DRIFT_COLUMNS = ("the spread grows by", "seed", "asked", "alarm", "highest mode", "held")
RECOVERY_COLUMNS = ("fault", "variant", "asked", "n", "outcome", "back in L1 or L0 after p50 / max, s")
REAL_COLUMNS = (
    "fault",
    "transport",
    "n",
    "outcome",
    "inconclusive",
    "FHTI p50 / p95 / max, ms",
    "limit, ms",
    "longest silence, ms",
)
TIME_COLUMNS = ("fault", "variant", "n", "FDTI p50/p95/max", "FRTI p50/p95/max", "FHTI p50/p95/max", "limit")


def _outcomes(rows: Sequence[dict[str, Any]]) -> str:
    """One row a variant, a column for every outcome that occurred; who meets each, and why so, stands below."""
    occurred = [outcome for outcome in OUTCOMES if any(row["outcomes"].get(outcome) for row in rows)]
    columns = ("fault", "variant", "class", "asked", "n", *occurred, "missed, 95 % bounds")
    notes = dict.fromkeys(
        f"{row['fault']} {row['variant']}: met by {row['provider']}" + (f"; {row['note']}" if row["note"] else "")
        for row in rows
    )
    words = "<details><summary>Who meets each, and notes</summary>" + _list(list(notes)) + "</details>"
    return _table([_outcome_row(row, occurred) for row in rows], columns) + words


def _outcome_row(row: dict[str, Any], occurred: Sequence[str]) -> list[str]:
    asked = {
        "reach": f"L{row['mode']} in {row['limit_ms']:g} ms",
        "stay": f"at most L{row['mode']}",
        "refuse": "drives not" if row["outright"] else "drives not, or harmlessly",
    }[row["asks"]]
    missed = row["missed"]
    return [
        row["fault"],
        row["variant"],
        row["class"],
        asked,
        str(row["injections"]),
        *(str(row["outcomes"].get(outcome, "")) for outcome in occurred),
        f"{missed['low']:.1%} to {missed['high']:.1%}",
    ]


def _time_row(row: dict[str, Any]) -> list[str]:
    times = [row["fdti_ms"], row["frti_ms"], row["fhti_ms"]]
    words = [
        "never" if t is None else f"{t['p50']:.0f} / {t['p95']:.0f} / {t['max']:.0f} (n = {t['n']})" for t in times
    ]
    return [row["fault"], row["variant"], str(row["injections"]), *words, f"{row['limit_ms']:g}"]


def _danger_row(row: dict[str, Any]) -> list[str]:
    harmed = row["harmed"]
    bounds = f"{harmed['low']:.0%} to {harmed['high']:.0%}"
    name = f"{row['fault']}: {FAULTS[row['fault']]}"
    return [name, f"{harmed['events']} of {harmed['trials']}", bounds, "shown" if row["shown"] else "NOT SHOWN"]


def _recovery_row(row: dict[str, Any]) -> list[str]:
    times = row["times"]
    words = "" if times is None else f"{times['p50'] / 1e3:.1f} / {times['max'] / 1e3:.1f} (n = {times['n']})"
    outcomes = ", ".join(f"{count} {word}" for word, count in row["outcomes"].items())
    asked = "stays stopped" if row["stops"] else "returns"
    return [row["fault"], row["variant"], asked, str(row["episodes"]), outcomes, words]


def _drift_row(row: dict[str, Any]) -> list[str]:
    alarm = "none" if row["alarm_s"] is None else f"{row['alarm_s']:.0f} s"
    limit = "no alarm" if row["limit_s"] is None else f"alarm within {row['limit_s']:.0f} s"
    return [row["variant"], str(row["seed"]), f"{limit}, L1 at most", alarm, f"L{row['highest']}", _held(row)]


def _held(row: dict[str, Any]) -> str:
    return "yes" if row["held"] else "NO"


def _scores(row: dict[str, Any] | None) -> str:
    if row is None:
        return "<p>S14, the fallback's scores: none in this run.</p>"
    return (
        f"<p>S14, the fallback on the world's roads, windows of 4 s: PDMS {row['pdms']:.3f}, EPDMS {row['epdms']:.3f} "
        f"in the mean of {row['windows']} windows ({row['drives']} drives); below 1: NC in {row['failed_nc']}, DAC in "
        f"{row['failed_dac']}, TTC in {row['failed_ttc']} (asked: none, none, 1 %). Held: {_held(row)}.</p>"
    )


def _family_row(row: dict[str, Any]) -> list[str]:
    numbers = ("cells", "avoidable", "unavoidable", "contacts_unavoidable", "missed")
    return [row["family"], row["title"], *(str(row[name]) for name in numbers), f"{row['bound']:.1%}", row["first"]]


def _reaction_plot(rows: Sequence[dict[str, Any]]) -> str:
    shown = [row for row in rows if row["asks"] == "reach" and row["fhti_ms"]]
    if not shown:
        return "<p>No reaction was measured.</p>"
    figure = new_figure(10.0, 0.8 + ROW_HEIGHT_IN * len(shown))
    panel = figure.subplots()
    for k, row in enumerate(shown):
        times = row["fhti_ms"]
        panel.plot([times["p50"], times["max"]], [k, k], color=MODE_COLOURS[0], linewidth=2.5, solid_capstyle="round")
        panel.plot([times["p95"]], [k], "o", color=MODE_COLOURS[0], markersize=3.5)
        panel.plot([row["limit_ms"]], [k], "|", color=INK, markersize=8)
    panel.set_yticks(range(len(shown)), [f"{row['fault']} {row['variant']}" for row in shown], fontsize=7)
    panel.invert_yaxis()
    panel.set(
        xscale="symlog",
        xlim=(0, None),
        xlabel="ms",
        title="fault handling time: median to maximum, dot: p95, bar: limit",
    )
    panel.grid(axis="x", color=PALE_INK, linewidth=0.3)
    return f"<figure>{inline_svg(figure)}</figure>"


def _golden(content: dict[str, Any]) -> str:
    golden = content["golden"]
    if golden is None:
        return "<p>None in this run.</p>"
    rates = [
        (name, str(golden[key][0]), f"{golden[key][1]:.1f} / h", f"{golden[key][2]:.1f} / h")
        for name, key in (
            ("entries into L2", "fallback"),
            ("entries into L3 or L4", "stop"),
            ("phantom brakings", "phantom"),
        )
    ]
    words = f"{golden['drives']} drives, {golden['hours']:.2f} h; "
    words += f"{golden['rear_end_hits']} rear-end hits; harm in {golden['harms']}."
    drives = [
        (
            d["road"],
            str(d["seed"]),
            f"{d['progress_share']:.0%}",
            f"{d['engaged_share']:.0%}",
            str(d["fallback_entries"]),
            str(d["stop_entries"]),
            str(d["emergency_entries"]),
            str(d["phantoms"]),
            ", ".join(d["reasons"]),
        )
        for d in content["golden_drives"]
    ]
    return (
        f"<p>{words}</p>"
        + _table(rates, ("", "seen", "rate", "95 % upper bound"))
        + _table(drives, ("road", "seed", "of the expert's way", "engaged", "L2", "L3", "L4", "phantoms", "reasons"))
    )


def _real_rows(rows: Sequence[dict[str, Any]]) -> str:
    if not rows:
        return ""
    shown = []
    for row in rows:
        times = row["handling"]
        words = "never" if times is None else f"{times['p50']:.0f} / {times['p95']:.0f} / {times['max']:.0f}"
        outcomes = ", ".join(f"{count} {word}" for word, count in row["outcomes"].items())
        names = [f"{row['fault']} {row['variant']}", row["transport"], str(row["injections"]), outcomes]
        shown.append([*names, str(row["inconclusive"]), words, f"{row['limit_ms']:g}", f"{row['longest_gap_ms']:.0f}"])
    return _table(shown, REAL_COLUMNS)


def _real(results: Sequence[dict[str, Any]]) -> str:
    if not results:
        return "<p>None in this run.</p>"
    rows = [
        (
            f"{r['fault']} {r['variant']}",
            r["transport"],
            "never" if r["handling_ms"] is None else f"{r['handling_ms']:.0f}",
            f"{r['limit_ms']:g}",
            f"{r['gap_ms']:.0f}",
            f"{r['lateness_ms']:.0f}",
            "inconclusive" if r["inconclusive"] else r["outcome"],
            r["detail"],
        )
        for r in results
    ]
    columns = ("fault", "transport", "FHTI, ms", "limit, ms", "longest silence, ms", "rig late by, ms", "outcome", "")
    return _table(rows, columns)


def _share(share: dict[str, Any]) -> str:
    return f"{share['events']} of {share['trials']}"


def _table(rows: Sequence[Sequence[str]], columns: Sequence[str]) -> str:
    head = "".join(f"<th>{_text(column)}</th>" for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _list(lines: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{_text(line)}</li>" for line in lines) + "</ul>" if lines else ""


def _flat(content: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in content.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{name}, ")
        else:
            rows.append((f"{prefix}{name}".replace("_", " "), str(value)))
    return rows


def _text(value: object) -> str:
    return html.escape(str(value))
