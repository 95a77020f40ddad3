"""Plots of a result, with Matplotlib. Each function draws on the axes it is given, or on new ones, and returns them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ._result import Result

# Colours that people with colour-blindness tell apart (Okabe and Ito, 2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def _axes(ax: Axes | None) -> Axes:
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError("plots need Matplotlib (Debian: python3-matplotlib)") from error
    return pyplot.subplots(figsize=(8, 4), layout="constrained")[1] if ax is None else ax


def _seconds(columns: dict[str, np.ndarray]) -> np.ndarray:
    return columns["time_ns"] / 1e9


def timeseries(result: Result, column: str, ax: Axes | None, scale: float, label: str, per_interval: str | None) -> Axes:
    """One line per variant. `per_interval`: the column that increases are divided by, for counters."""
    ax = _axes(ax)
    for colour, (variant, columns) in zip(_cycle(), result.timeseries_arrays().items()):
        if column not in columns:
            raise ValueError(f"column: {column}; the time series has {', '.join(columns)}")
        seconds, values = _seconds(columns), columns[column] * scale
        if per_interval is not None:
            steps = np.diff(columns[per_interval])
            busy = steps > 0
            seconds, values = seconds[1:][busy], np.diff(values)[busy] / steps[busy]
        ax.plot(seconds, values, label=variant, color=colour, marker="." if len(seconds) < 3 else None)
    ax.set(xlabel="simulated time, s", ylabel=label)
    ax.legend()
    return ax


def stalls(result: Result, path: str, ax: Axes | None) -> Axes:
    """How many waits lasted how long, per variant."""
    ax = _axes(ax)
    for colour, (variant, stats) in zip(_cycle(), result.stats.items()):
        histogram: Any = stats.get(path)
        if not isinstance(histogram, dict):
            raise ValueError(f"path: {path}; choose a histogram: {', '.join(k for k, v in stats.items() if isinstance(v, dict))}")
        if not histogram["buckets"]:
            continue
        counts, edges = _steps(histogram["buckets"])
        ax.stairs(counts, np.maximum(edges, 1) / 1e3, label=variant, color=colour)
        ax.legend()
    ax.set(xlabel=f"{path.removesuffix('_ns')}, us", ylabel="waits", xscale="log")
    return ax


def _steps(buckets: list[list[int]]) -> tuple[list[int], np.ndarray]:
    """Counts and edges without gaps: empty buckets are left out of a histogram."""
    counts: list[int] = []
    edges = [buckets[0][0]]
    for low, high, count in buckets:
        if low > edges[-1]:
            counts.append(0)
            edges.append(low)
        counts.append(count)
        edges.append(high + 1)
    return counts, np.array(edges, dtype=float)


def ranges(result: Result, variant: str, ax: Axes | None) -> Axes:
    """Which 2 MiB range was huge when: one line per range from the moment it became huge, as the last time it did, to the end or
    to when it stopped; grey: never."""
    ax = _axes(ax)
    if variant not in result.variants:
        raise ValueError(f"variant: {variant}; choose one of {', '.join(result.variants)}")
    frame = result.ranges[result.ranges["variant"] == variant].reset_index(drop=True)
    end = result.timeseries_arrays()[variant]["time_ns"][-1] / 1e9
    since = frame["became_huge_ns"].astype("Float64").to_numpy(dtype=float, na_value=np.nan) / 1e9
    until = frame["stopped_huge_ns"].astype("Float64").to_numpy(dtype=float, na_value=np.nan) / 1e9
    was_huge = ~np.isnan(since)
    rows = np.arange(len(frame))
    ax.hlines(rows[~was_huge], 0, end, colors="#DDDDDD", linewidth=1)
    until = np.where(frame["is_huge"] | np.isnan(until), end, until)
    ax.hlines(rows[was_huge], since[was_huge], until[was_huge], colors=COLOURS[0], linewidth=1)
    ax.set(xlabel="simulated time, s", ylabel="2 MiB range, by address", xlim=(0, end), title=variant)
    return ax


def _cycle() -> Any:
    while True:
        yield from COLOURS
