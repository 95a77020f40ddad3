"""Sweeps: a config at every combination of some keys' values, on this computer or on a Dask cluster."""

from __future__ import annotations

import io
import itertools
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import _collapsar
from ._checks import path, wrong_type
from ._config import Config, Sets, assignments, search_dirs, yaml_of
from ._result import Result, _pandas
from ._run import PathLike, _config_handle, _jobs, _variant_names
from ._trace import Trace

if TYPE_CHECKING:
    import pandas as pd
    from distributed import Client


def sweep(
    config: PathLike | Sequence[PathLike] | Config | None = None,
    over: Mapping[str, Iterable[Any]] | None = None,
    *,
    client: Client | None = None,
    set: Sets = None,  # noqa: A002: the program's option has this name
    trace: Trace | None = None,
    variants: Iterable[str] | Mapping[str, Config] | str | None = None,
    jobs: int | None = None,
    out: PathLike | None = None,
) -> Sweep:
    """Runs a config at every combination of some keys' values, all its variants each time.

    config, set, trace, variants  as for :func:`run`.
    over      dotted key -> its values, such as {"kernel.khugepaged.scan_sleep": ["1s", "10s"]}; the first key is the slowest.
    client    a ``dask.distributed.Client``: the points run on its workers, which must have the same collapsar and, at the same
              path, the trace files. Without one they run on this computer. The numbers are the same.
    jobs      points that run side by side on this computer, by default one per CPU; with a client: variants side by side in
              one point, by default 1.
    out       a directory for finished points, that of ``collapsar sweep --out``. What is there already is not run again while
              config, trace and program are the same, however an earlier sweep ended.

    A point whose simulation cannot go on (out of simulated memory) has an entry in ``errors`` and no result; the others go on.
    Raises ValueError for a wrong config or trace, before the first point runs where that can be seen.

    >>> touch = {"pattern": "touch", "footprint": "8MiB", "write": True}
    >>> found = sweep({"trace": {"synthetic": [touch]}, "memory.size": "1GiB"}, over={"kernel.version": ["6.1", "6.12"]})
    >>> found
    <collapsar.Sweep: 2 points over kernel.version>
    >>> [point["kernel.version"] for point in found.points]
    ['6.1', '6.12']
    >>> [result.stats["always"]["faults.huge"] for result in found.results]
    [4, 4]
    """
    handle = _config_handle(config, trace, assignments(set))
    at_once = _jobs(jobs, os.cpu_count() or 1 if client is None else 1)
    if over is not None and not isinstance(over, Mapping):
        raise wrong_type("over", over, "a dict of key -> values")
    axes = {key: _values(key, values) for key, values in (over or {}).items()}
    points = _collapsar.Sweep(
        handle,
        [(key, [text for text, _ in values]) for key, values in axes.items()],
        None if trace is None else trace._array_trace,
        _variant_names(handle, variants),
        search_dirs(),
    )
    values = [dict(zip(axes, combination)) for combination in itertools.product(*([v for _, v in a] for a in axes.values()))]
    with tempfile.TemporaryDirectory() as scratch:
        store = _collapsar.PointStore(scratch if out is None else path("out", out))
        store.lock()
        kept = [i for i in range(len(points)) if store.has(points, i)]
        if client is None:
            errors = points.run(store, at_once)
        else:
            errors = _run_on(client, points, store, kept, trace, at_once or 1)
        found = Sweep(points, store, values, kept, errors)
        if out is not None:
            _write_whole(Path(out) / "sweep.csv", found.csv)
    return found


class Sweep(Sequence[Result]):
    """The results of all points, in order; as a sequence, those of the points that did not fail."""

    def __init__(
        self,
        points: _collapsar.Sweep,
        store: _collapsar.PointStore,
        values: list[dict[str, Any]],
        kept: list[int],
        errors: dict[int, str],
    ) -> None:
        self.points = values
        """Key -> value, of each point."""
        self.kept = kept
        """The points that had been finished before."""
        self.errors = errors
        """Point -> why its simulation could not go on."""
        self.keys = [points.key(i) for i in range(len(points))]
        """The names of the points below ``out``/points."""
        self.results: list[Result | None] = [
            None if i in errors else Result.load(store.folder(points, i)) for i in range(len(points))
        ]
        """The result of each point; None if it failed."""
        self.csv: str = points.csv(store, errors)
        """sweep.csv: one row per point and variant, every number of result.json."""
        self._table: str = points.table(store, kept, errors)

    @property
    def frame(self) -> pd.DataFrame:
        """sweep.csv as a DataFrame: a column per key of ``over``, "point", "error", "variant", then the numbers."""
        return _pandas("frame", "csv", "Sweep").read_csv(io.StringIO(self.csv), dtype={"point": str, "error": str})

    def table(self) -> str:
        """One line per point and variant, as ``collapsar sweep`` prints it."""
        return self._table

    def __len__(self) -> int:
        return len(self.results) - len(self.errors)

    def __getitem__(self, index: Any) -> Any:
        return [result for result in self.results if result is not None][index]

    def __iter__(self) -> Iterator[Result]:
        return (result for result in self.results if result is not None)

    def __repr__(self) -> str:
        keys = ", ".join(self.points[0])
        return f"<collapsar.Sweep: {len(self.results)} points{f' over {keys}' if keys else ''}>"

    def _repr_html_(self) -> str:
        return Result._html_of(self._table)


def _values(key: str, values: Iterable[Any]) -> list[tuple[str, Any]]:
    """Each value as the text of --vary, and as it was given."""
    if isinstance(values, (str, Mapping)) or not isinstance(values, Iterable):
        raise ValueError(f"over: {key}: found {values!r}; a list of values is right")
    pairs = [(value if isinstance(value, str) else yaml_of(value), value) for value in values]
    if not pairs:
        raise ValueError(f"over: {key}: no values; name at least one, or leave the key out")
    return pairs


# ---- On a cluster ----------------------------------------------------------------------------------------------------


def _point_on_worker(program: str, text: str, trace: Trace | None, jobs: int) -> dict[str, str]:
    """The files of one point; runs on a worker."""
    if program != _collapsar.program:
        raise ValueError(f"a worker has collapsar {_collapsar.program}, the client has {program}; install the same on both")
    return _collapsar.point_files(text, None if trace is None else trace._array_trace, jobs)


def _run_on(
    client: Client, points: _collapsar.Sweep, store: _collapsar.PointStore, kept: list[int], trace: Trace | None, jobs: int
) -> dict[int, str]:
    """Each point is one task under the point's key: a point whose worker dies goes to another worker, and whichever answer is
    the first is written, once."""
    from distributed import KilledWorker, as_completed

    errors = {}
    shared = None if trace is None else client.scatter(trace, broadcast=True)
    todo = [i for i in range(len(points)) if i not in kept]
    futures = {
        client.submit(
            _point_on_worker, _collapsar.program, points.portable(i), shared, jobs, key=f"collapsar-{points.key(i)}"
        ): i
        for i in todo
    }
    try:
        for future in as_completed(futures):
            try:
                store.put(points, futures[future], future.result())
            except (RuntimeError, KilledWorker) as error:
                errors[futures[future]] = str(error)
    finally:
        client.cancel(list(futures))
    return errors


def _write_whole(path: Path, text: str) -> None:
    unfinished = path.with_name(f".{path.name}.new")
    unfinished.write_text(text)
    unfinished.replace(path)
