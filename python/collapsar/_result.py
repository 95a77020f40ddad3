"""What a run found out."""

from __future__ import annotations

import html
import io
import json
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypedDict, Union

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


# Columns of ranges.csv that are no numbers.
_RANGE_TEXTS = (
    "variant", "mapping", "base", "last_result", "last_by", "last_look_result", "obstacle", "huge_by", "stopped", "stopped_by",
    "saving_basis", "break_even",
)


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

    def table(self) -> str:
        """The comparison table, as ``collapsar run`` prints it."""
        return self._table

    def __repr__(self) -> str:
        name = self.config["name"]
        return f"<collapsar.Result{' ' if name else ''}{name}: {', '.join(self.variants)}>"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self._table)}</pre>"


def _pandas(wanted: str, instead: str) -> Any:
    try:
        import pandas
    except ImportError as error:
        raise ImportError(f"Result.{wanted} is a DataFrame and needs pandas; Result.{instead} does not") from error
    return pandas
