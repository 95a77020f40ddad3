"""Several results side by side."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from ._checks import names, wrong_type
from ._result import Result, _pandas

if TYPE_CHECKING:
    import pandas as pd

# What the table of a run begins with, and what it costs.
_USUAL = (
    "refs", "mmu.l1d.misses", "mmu.walks", "mmu.walk_cycles", "cycles", "time_ns", "faults.minor", "faults.huge",
    "memory.coverage", "memory.rss_bytes", "khugepaged.pages_collapsed", "khugepaged.cpu_ns",
)


def compare(results: Iterable[Result] | Mapping[str, Result], paths: Iterable[str] | None = None) -> pd.DataFrame:
    """One row per result and variant, one column per number.

    results  a dict of name -> result, or results, which are then known by the name of their config.
    paths    the numbers, by their path in ``stats`` (units: as there; times in ns, sizes in bytes); by default those that the
             table of a run begins with. A result without such a number has NaN; one that no result has is a ValueError.

    >>> import collapsar
    >>> touch = {"pattern": "touch", "footprint": "4MiB", "write": True}
    >>> results = {v: collapsar.run({"trace": {"synthetic": [touch]}, "kernel.version": v}) for v in ("6.1", "6.12")}
    >>> frame = collapsar.compare(results, ["faults.minor", "faults.huge"])
    >>> list(frame.columns), len(frame)
    (['faults.minor', 'faults.huge'], 6)
    >>> frame.loc[("6.12", "never")].tolist()
    [1024, 0]
    """
    if isinstance(paths, str):
        raise ValueError(f"paths: found {paths!r}; a list of paths is right")
    wanted = list(_USUAL) if paths is None else names("paths", paths, "a list of paths")
    named = _named(results)
    known = {path for result in named.values() for stats in result.stats.values() for path in stats}
    for path in wanted if paths is not None else ():
        if path not in known:
            near = difflib.get_close_matches(path, known, n=1)
            raise ValueError(f"paths: {path}: no result has it{f'; did you mean {near[0]}?' if near else ''}")
    rows = {
        (name, variant): [stats.get(path) for path in wanted]
        for name, result in named.items()
        for variant, stats in result.stats.items()
    }
    pandas = _pandas("compare", "stats", "collapsar")
    index = pandas.MultiIndex.from_tuples(rows, names=["result", "variant"])
    return pandas.DataFrame(list(rows.values()), index=index, columns=wanted)


def _named(results: Iterable[Result] | Mapping[str, Result]) -> dict[str, Result]:
    if isinstance(results, Result) or not isinstance(results, Iterable):
        raise wrong_type("results", results, "a list of results, or a dict of name -> result,")
    has_names = isinstance(results, Mapping)
    listed = list(results.values() if has_names else results)
    for result in listed:
        if not isinstance(result, Result):
            raise wrong_type("results", result, "what run() returns")
    return dict(results) if has_names else _by_name(listed)


def _by_name(results: Iterable[Result]) -> dict[str, Result]:
    named = {}
    for number, result in enumerate(results, start=1):
        name = result.config["name"] or "result"
        named[name if name not in named else f"{name} {number}"] = result
    if not named:
        raise ValueError("results: none; compare takes at least one")
    return named
