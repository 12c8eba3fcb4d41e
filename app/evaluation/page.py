"""The evaluation as one HTML file: the tables, and the ten worst episodes from above."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from onboard_vla.app.evaluation.summary import Summary
from onboard_vla.app.evaluation.tables import Rows, closed_loop_rows, difference_rows, group_rows, open_loop_rows
from onboard_vla.app.report.page import STYLE

WORST = 10


def write_page(
    path: Path, title: str, summaries: Sequence[Summary], results: Sequence[dict[str, Any]], provenance: dict[str, Any]
) -> None:
    """Write the report; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(title, summaries, results, provenance), encoding="utf-8")


def page(
    title: str, summaries: Sequence[Summary], results: Sequence[dict[str, Any]], provenance: dict[str, Any]
) -> str:
    """The report's HTML text."""
    heads = [f"{s.name} (n = {s.n})" for s in summaries]
    chosen, pairs = worst(results), difference_rows(summaries)
    run = "; ".join(f"{name}: {value}" for name, value in provenance["run"].items())
    made = "; ".join(f"{name} {value}" for name, value in provenance["versions"].items())
    parts = [
        f"<h1>{_text(title)}</h1>",
        "<p>In brackets: 95 % bounds; means drawn again over whole worlds, shares after Clopper and Pearson. Scores "
        "are of windows of 4 s of what was driven, against the expert's forecast from each window's start.</p>",
        "<h2>Closed loop</h2>",
        _table(closed_loop_rows(summaries), heads),
        "<h2>By what the expert is about to do, and by depth</h2>",
        _table(group_rows(summaries), heads),
        "<h2>Open loop: plans along the expert's drives</h2>",
        _table(open_loop_rows(summaries), heads) if open_loop_rows(summaries) else "<p>Not asked for.</p>",
        *(["<h2>Against the first variant, world by world</h2>", _table(pairs, heads)] if pairs else []),
        f"<h2>The {len(chosen)} worst of {len(results)} episodes</h2>",
        "<p>First by what went wrong, then by EPDMS. Path: coloured by the mode in force.</p>",
        *[_episode(result) for result in chosen],
        "<h2>What this was made of</h2>",
        f"<p>{_text(run)}</p><p>{_text(made)}</p>",
    ]
    head = f'<head><meta charset="utf-8"><title>{_text(title)}</title><style>{STYLE}</style></head>'
    return f'<!DOCTYPE html>\n<html lang="en">{head}<body>\n' + "\n".join(parts) + "\n</body></html>\n"


def worst(results: Sequence[dict[str, Any]], most: int = WORST) -> list[dict[str, Any]]:
    """Collisions at fault first, then excursions, red lights, and the lowest EPDMS."""

    def badness(result: dict[str, Any]) -> tuple[float, ...]:
        figures = result["figures"]
        kinds = [-float(bool(figures[name])) for name in ("collisions_at_fault", "off_road", "red_lights")]
        return (*kinds, _epdms(result))

    return sorted(results, key=badness)[:most]


def _epdms(result: dict[str, Any]) -> float:
    windows = result["windows"]
    return sum(w["epdms"] for w in windows) / len(windows) if windows else 0.0


def _episode(result: dict[str, Any]) -> str:
    figures = result["figures"]
    words = [f"seed {result['seed']}, {result['variant']}: EPDMS {_epdms(result):.2f}"]
    words.append(f"progress {figures['progress_share']:.0%} of the expert's")
    words += [
        f"{v['kind'].replace('_', ' ')} at {v['time_ns'] / 1e9:.1f} s ({v['detail']})" for v in result["violations"]
    ]
    lowest = min(result["windows"], key=lambda w: w["epdms"], default=None)
    if lowest is not None and lowest["epdms"] < 1.0:
        own = {k: lowest["own"][k] for k in ("nc", "dac", "ddc", "tlc", "ttc", "lane_keeping", "history_comfort")}
        missed = [name.replace("_", " ") for name, value in own.items() if value < 1.0]
        missed += ["extended comfort"] if lowest["extended_comfort"] < 1.0 else []
        missed += [f"progress {lowest['progress']:.2f}"] if lowest["progress"] < 0.95 else []
        words.append(
            f"lowest window {lowest['epdms']:.2f} from {lowest['start_s']:g} s: {', '.join(missed) or 'nothing'}"
        )
    return f"<figure><figcaption>{_text('; '.join(words))}</figcaption>{result['drawing']}</figure>"


def _table(rows: Rows, heads: Sequence[str]) -> str:
    head = "".join(f"<th>{_text(name)}</th>" for name in ("", *heads))
    body = "".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in (name, *cells))}</tr>" for name, cells in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _text(value: str) -> str:
    return html.escape(str(value))
