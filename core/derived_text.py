"""Text between two marks of a page, written from what it describes."""

from __future__ import annotations


def with_section(page: str, name: str, derived: str) -> str:
    """`page` with `derived` between `<!-- name -->` and `<!-- end of name -->`, which stay.

    Raises:
        ValueError: a mark is not there exactly once.
    """
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    if page.count(begin) != 1 or rest.count(end) != 1 or before.count(end):
        raise ValueError(f"expected {begin.strip()} and, after it, {end} once each")
    return before + begin + derived + end + after
