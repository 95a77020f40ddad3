"""What a run found out."""

from __future__ import annotations

import csv
import html
import io
import json
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Union

from . import _plots

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes


# Columns of ranges.csv that are no numbers.
_RANGE_TEXTS = (
    "variant", "mapping", "base", "last_result", "last_by", "last_look_result", "obstacle", "huge_by", "stopped", "stopped_by",
    "saving_basis", "break_even",
)

_RATIO = "memory.coverage"  # the column of timeseries.csv that is no whole number


class Histogram(TypedDict):
    """How often which value. A percentile is the upper end of its bucket: at most 25 % too high."""

    count: int
    sum: int
    max: int
    p50: int
    p90: int
    p99: int
    buckets: list[list[int]]  # lowest value, highest value, how many; empty ones are left out


Stats = dict[str, Union[int, float, Histogram]]


class Result:
    """The numbers of all variants of one run, under the names of result.json.

    >>> import collapsar
    >>> touch = {"pattern": "touch", "footprint": "4MiB", "write": True}
    >>> result = collapsar.run({"trace": {"synthetic": [touch]}, "output.interval": "1ms"})
    >>> result
    <collapsar.Result: never, khugepaged, always>
    >>> result.stats["never"]["refs.write"]
    1024
    >>> result.timeseries_arrays()["always"]["faults.huge"][-1]
    2
    """

    def __init__(
        self,
        json: str,  # noqa: A002: the name under which it is handed out
        table: str,
        ranges_csv: str,
        timeseries: Mapping[str, Mapping[str, np.ndarray]],
    ) -> None:
        self._json = json
        self._table = table
        self._ranges_csv = ranges_csv
        self._timeseries = timeseries

    @classmethod
    def load(cls, directory: str | os.PathLike[str]) -> Result:
        """The result in a directory of ``collapsar run --out``, or of one point of a sweep (DIR/points/KEY).

        The time series is that of timeseries.csv: "memory.coverage" has six decimals. table() needs table.txt, which only
        sweeps write.
        """
        folder = Path(directory)
        try:
            text = (folder / "result.json").read_text()
            ranges, series = (folder / "ranges.csv").read_text(), (folder / "timeseries.csv").read_text()
        except OSError as error:
            raise ValueError(f"{folder}: no result of collapsar: {error.strerror}: {error.filename}") from error
        table = folder / "table.txt"
        return cls(text, table.read_text() if table.exists() else "", ranges, _arrays_of(series))

    @property
    def json(self) -> str:
        """result.json, as ``collapsar run --json`` prints it."""
        return self._json

    @cached_property
    def _content(self) -> dict[str, Any]:
        return json.loads(self._json)

    @property
    def stats(self) -> dict[str, Stats]:
        """Variant -> path -> number, or a histogram as a dict. The names are those of result.json."""
        return self._content["variants"]

    @property
    def variants(self) -> list[str]:
        """The names of the variants that ran, in the order of the config."""
        return list(self._content["variants"])

    @property
    def baseline(self) -> str:
        """The variant that the table takes differences to."""
        return self._content["baseline"]

    @property
    def config(self) -> dict[str, Any]:
        """The effective config, defaults included; under "variants", what each variant changes."""
        return self._content["config"]

    @property
    def trace(self) -> dict[str, Any]:
        """Name, records, references and hash of what was replayed."""
        return self._content["trace"]

    @property
    def notes(self) -> dict[str, Any]:
        """What must be known beside the numbers: simulated time and wake-ups of each variant, remarks on the trace, and
        the simplifications that the run touched."""
        return self._content["notes"]

    @property
    def why(self) -> dict[str, list[dict[str, Any]]]:
        """Address -> why its range is huge or not, for the addresses that the run was asked about."""
        return self._content.get("why", {})

    def timeseries_arrays(self) -> dict[str, dict[str, np.ndarray]]:
        """Variant -> column -> array of shape (points,), one point per `output.interval` and one at the end.

        Counters run from time 0; "memory.*" are as of the moment. Counts are int64, "memory.coverage" is float64, and
        times are in ns.
        """
        return {variant: dict(columns) for variant, columns in self._timeseries.items()}

    @cached_property
    def timeseries(self) -> pd.DataFrame:
        """timeseries.csv: one row per variant and point; the columns are "variant" and those of the arrays."""
        pandas = _pandas("timeseries", "timeseries_arrays()")
        frames = []
        for variant, columns in self._timeseries.items():
            frame = pandas.DataFrame(columns)
            frame.insert(0, "variant", variant)
            frames.append(frame)
        return pandas.concat(frames, ignore_index=True)

    @cached_property
    def ranges(self) -> pd.DataFrame:
        """ranges.csv: one row per variant and 2 MiB range that anything happened to; "base" is its address, in hex.

        What never happened to a range (its last scan, when it became huge) is missing: <NA> or an empty text.
        """
        pandas = _pandas("ranges", "ranges_csv")
        numbers = [name for name in self._ranges_csv.split("\n", 1)[0].split(",") if name not in _RANGE_TEXTS]
        frame = pandas.read_csv(
            io.StringIO(self._ranges_csv),
            dtype={**dict.fromkeys(_RANGE_TEXTS, str), **dict.fromkeys(numbers, "Int64")},
            keep_default_na=False,
            na_values=dict.fromkeys(numbers, [""]),
        )
        return frame.astype({"is_huge": bool})

    @property
    def ranges_csv(self) -> str:
        """ranges.csv as a text."""
        return self._ranges_csv

    # ---- Plots: each takes Matplotlib axes or makes new ones, and returns them -------------------------------------------

    def plot_timeseries(self, column: str, ax: Axes | None = None) -> Axes:
        """A column of the time series over simulated time (s), one line per variant, in the column's own unit."""
        return _plots.timeseries(self, column, ax, 1, column, None)

    def plot_coverage(self, ax: Axes | None = None) -> Axes:
        """The share of anonymous memory in huge pages (%) over simulated time (s)."""
        return _plots.timeseries(self, "memory.coverage", ax, 100, "huge-page coverage, %", None)

    def plot_misses(self, ax: Axes | None = None) -> Axes:
        """L2 TLB misses per 1,000 references, in each interval in which there were any, over simulated time (s)."""
        return _plots.timeseries(self, "mmu.l2.misses", ax, 1000, "L2 TLB misses per 1,000 references", "refs")

    def plot_rss(self, ax: Axes | None = None) -> Axes:
        """Resident memory (MiB) over simulated time (s)."""
        return _plots.timeseries(self, "memory.rss_bytes", ax, 1 / 2**20, "RSS, MiB", None)

    def plot_khugepaged(self, ax: Axes | None = None) -> Axes:
        """CPU time of khugepaged (ms, from the start) over simulated time (s)."""
        return _plots.timeseries(self, "khugepaged.cpu_ns", ax, 1e-6, "CPU time of khugepaged, ms", None)

    def plot_stalls(self, path: str = "stall.collapse_ns", ax: Axes | None = None) -> Axes:
        """How many waits lasted how long (us): a histogram of ``stats``, one outline per variant that has any."""
        return _plots.stalls(self, path, ax)

    def plot_ranges(self, variant: str, ax: Axes | None = None) -> Axes:
        """Which 2 MiB range was huge when: a line per range, by address, over simulated time (s); grey: never."""
        return _plots.ranges(self, variant, ax)

    def table(self) -> str:
        """The comparison table, as ``collapsar run`` prints it."""
        return self._table

    def __repr__(self) -> str:
        name = self.config["name"]
        return f"<collapsar.Result{' ' if name else ''}{name}: {', '.join(self.variants)}>"

    def _repr_html_(self) -> str:
        return self._html_of(self._table)

    @staticmethod
    def _html_of(table: str) -> str:
        return f"<pre>{html.escape(table)}</pre>"


def _arrays_of(timeseries_csv: str) -> dict[str, dict[str, np.ndarray]]:
    """Variant -> column -> array, from the text of timeseries.csv."""
    import numpy

    rows = csv.reader(io.StringIO(timeseries_csv))
    columns = next(rows)[1:]
    by_variant: dict[str, list[list[str]]] = {}
    for variant, *cells in rows:
        by_variant.setdefault(variant, []).append(cells)
    return {
        variant: {
            name: numpy.array(cells, dtype=numpy.float64 if name == _RATIO else numpy.int64)
            for name, cells in zip(columns, zip(*lines))
        }
        for variant, lines in by_variant.items()
    }


def _pandas(wanted: str, instead: str, of: str = "Result") -> Any:
    try:
        import pandas
    except ImportError as error:
        raise ImportError(f"{of}.{wanted} is a DataFrame and needs pandas; {of}.{instead} does not") from error
    return pandas
