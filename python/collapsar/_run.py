"""Running the variants of a config."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Union

from . import _collapsar
from ._checks import CONFIG, VARIANTS, names, path, whole, wholes, wrong_type
from ._config import Config, Sets, assignments, search_dirs, yaml_of
from ._result import Result
from ._trace import Trace

PathLike = Union[str, "os.PathLike[str]"]


def run(
    config: PathLike | Sequence[PathLike] | Config | None = None,
    *,
    set: Sets = None,  # noqa: A002: the program's option has this name
    trace: Trace | None = None,
    variants: Iterable[str] | Mapping[str, Config] | str | None = None,
    jobs: int | None = None,
    check: bool = False,
    one_event_per_step: bool = False,
    out: PathLike | None = None,
    why: int | Iterable[int] = (),
) -> Result:
    """Replays a trace once per variant and returns the numbers of all of them.

    config    a config file (.yaml, .yml); a trace file, or a list of them (the processes of one recording), for the
              default machine; or a dict with the keys of a config. In a dict, dotted keys are paths, None is `none`,
              values with units are texts ("2MiB", "10ms"), and file names are relative to the working directory.
    set       what is laid over the config: a dict of dotted keys, or a list of texts "a.b.c=value".
    trace     references from arrays, in place of what the config's `trace` names.
    variants  the names of the variants to run; or a dict of name -> changes, in place of those of the config.
    jobs      how many variants run side by side, by default one per CPU of this computer; the numbers do not depend
              on it.
    check     test the laws of the machine at each step that could break them; slow.
    one_event_per_step  take every step through the event queue; slow, with the same numbers.
    out       a directory for report.html, result.json, timeseries.csv, ranges.csv and events.json.
    why       addresses whose 2 MiB ranges are explained in Result.why.

    Raises ValueError for a wrong config or trace and RuntimeError when the simulation cannot go on (out of simulated
    memory), both with the text of the program's error. Other Python threads run meanwhile; Ctrl-C ends the run.

    >>> touch = {"pattern": "touch", "footprint": "4MiB", "write": True}
    >>> result = run({"trace": {"synthetic": [touch]}}, set={"memory.size": "1GiB"}, variants=["never", "always"])
    >>> result.stats["always"]["memory.coverage"]
    1.0
    """
    handle = _config_handle(config, trace, assignments(set))
    answer = _collapsar.run(
        handle,
        None if trace is None else trace._array_trace,
        variants=_variant_names(handle, variants),
        search_dirs=search_dirs(),
        jobs=_jobs(jobs, os.cpu_count() or 1),
        check=check,
        one_event_per_step=one_event_per_step,
        out="" if out is None else path("out", out),
        why=wholes("why", why),
    )
    return Result(**answer)


def _config_handle(
    config: PathLike | Sequence[PathLike] | Config | None, trace: Trace | None, sets: list[str]
) -> _collapsar.Config:
    if trace is not None and not isinstance(trace, Trace):
        raise ValueError(
            f"trace: found {trace!r}; what trace_from_array() gives is right. A file is named in the config: "
            '{"trace.file": "app.ctr"}, or stands in its place'
        )
    if config is None and trace is None:
        raise ValueError("config: None, and no trace; name a config file or a trace file, or give a dict")
    if config is None:
        config = {"name": trace.name}
    if isinstance(config, Mapping):
        return _collapsar.config_of_text(yaml_of(config), sets, search_dirs())
    if isinstance(config, (str, os.PathLike)):
        files = [os.fspath(config)]
    elif isinstance(config, Iterable):
        files = [path("config", file, CONFIG) for file in config]
    else:
        raise wrong_type("config", config, CONFIG)
    if not files:
        raise ValueError("config: an empty list; name at least one trace file")
    if len(files) == 1 and files[0].endswith((".yaml", ".yml")):
        return _collapsar.config_of_file(files[0], sets, search_dirs())
    return _collapsar.config_of_trace(files, sets, search_dirs())


def _variant_names(handle: _collapsar.Config, variants: Iterable[str] | Mapping[str, Config] | str | None) -> list[str]:
    """Those to run, all if none; a dict takes the place of those that the config has."""
    if not isinstance(variants, Mapping):
        return names("variants", variants, VARIANTS)
    handle.set_variants(yaml_of(variants))
    return []


def _jobs(jobs: int | None, usual: int) -> int:
    return usual if jobs is None else whole("jobs", jobs)
