"""One variant step by step: run, look, write to sysfs, run on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Union

import numpy as np

from . import _collapsar
from ._checks import path, whole, wrong_type
from ._config import Config, Sets, assignments, search_dirs
from ._result import Result, Stats, _pandas
from ._run import PathLike, _config_handle
from ._trace import Trace

if TYPE_CHECKING:
    import pandas as pd

Time = Union[int, str]  # ns, or a text with a unit: "1.5s"


class Simulation:
    """One variant of a config, run step by step.

    config, set, trace  as for :func:`collapsar.run`.
    variant             its name, by default the first one of the config.

    Between two steps the machine can be looked at, and knobs changed as a write to sysfs would. The steps themselves change
    nothing: result() is what run() gives for the same variant.

    >>> touch = {"pattern": "touch", "footprint": "8MiB", "write": True}
    >>> idle = {"pattern": "idle", "time": "25s"}
    >>> sim = Simulation({"trace": {"synthetic": [touch, idle]}, "memory.size": "1GiB"}, variant="khugepaged")
    >>> sim.run_until("1s")
    False
    >>> sim.time / 1e9                                          # seconds
    1.0
    >>> [process["anon_huge_bytes"] for process in sim.processes()]
    [0]
    >>> sim.write_sysfs("khugepaged/scan_sleep_millisecs", 500)  # ends the sleep
    >>> sim.run_until("2s")
    False
    >>> sim.processes()[0]["anon_huge_bytes"] // 2**21
    4
    >>> sim.run()
    >>> sim.result().stats["khugepaged"]["khugepaged.pages_collapsed"]
    4
    """

    def __init__(
        self,
        config: PathLike | Sequence[PathLike] | Config | None = None,
        *,
        variant: str | None = None,
        set: Sets = None,  # noqa: A002: the program's option has this name
        trace: Trace | None = None,
    ) -> None:
        handle = _config_handle(config, trace, assignments(set))
        array = None if trace is None else trace._array_trace
        if variant is not None and not isinstance(variant, str):
            raise wrong_type("variant", variant, "a name")
        self._run = _collapsar.SteppedRun(handle, array, variant or "", search_dirs())

    def run_until(self, time: Time) -> bool:
        """Runs up to a moment of simulated time, in ns or as a text with a unit. True: the trace has ended before.

        Raises ValueError for a moment that has passed, RuntimeError as run() does. After Ctrl-C in the middle of a step the
        simulation cannot go on.
        """
        return self._run.run_until(_collapsar.nanoseconds(time) if isinstance(time, str) else whole("time", time))

    def run(self) -> None:
        """Runs to the end of the trace."""
        self._run.run_until(None)

    @property
    def variant(self) -> str:
        """The name of the variant."""
        return self._run.name

    @property
    def time(self) -> int:
        """The simulated clock, in ns from the start (the warm-up included)."""
        return self._run.now_ns

    @property
    def ended(self) -> bool:
        """Whether the trace has ended."""
        return self._run.ended

    def stats(self) -> Stats:
        """Every number of result.json from time 0 up to now, under the same path."""
        return json.loads(self._run.stats())

    def write_sysfs(self, file: str, value: int | str) -> None:
        """Writes to a file below /sys/kernel/mm/transparent_hugepage, such as "enabled" or "khugepaged/max_ptes_none": from
        this moment on. What was written stands in the notes of the result.

        Raises ValueError where the kernel has no such file, or would refuse the value.
        """
        self._run.write_sysfs(path("file", file, "the name of a file"), str(value))

    def processes(self) -> list[dict[str, Any]]:
        """Each process so far: pid, name, alive, rss_bytes, anon_huge_bytes."""
        return self._run.processes()

    def vmas(self, pid: int) -> pd.DataFrame:
        """The VMAs of a process, as /proc/PID/smaps: start, end (addresses), rights ("rw-p"), advice ("hugepage", "nohugepage" or
        ""), is_anonymous, mapping (its name in reports)."""
        return _pandas("vmas", "processes()", "Simulation").DataFrame(self._run.vmas(whole("pid", pid)))

    def page_table(self, pid: int, start: int = 0, end: int | None = None) -> dict[str, np.ndarray]:
        """The entries of a process's page table between two addresses that map something or hold a swap slot, in order: address,
        bytes (4096, 2 MiB or 1 GiB), frame (number of the 4 KiB frame; -1: swapped out), swap_slot (-1: none), writable,
        accessed, dirty. A dict of columns, for DataFrame()."""
        last = None if end is None else whole("end", end)
        return self._run.page_table(whole("pid", pid), whole("start", start), last)

    def tlb(self, cpu: int = 0) -> dict[str, np.ndarray]:
        """What the TLBs of a CPU hold: the columns of page_table(), level ("l1i", "l1d", "l2", or "l2i" and "l2d") and pid."""
        columns = self._run.tlb(whole("cpu", cpu))
        return {**columns, "level": np.array(columns["level"], dtype=str)}

    def result(self) -> Result:
        """What run() would have returned. Ends the simulation. Raises RuntimeError before the end of the trace."""
        return Result(**self._run.finish())

    def __repr__(self) -> str:
        return f"<collapsar.Simulation: {self.variant} at {self.time / 1e9:g} s{', ended' if self.ended else ''}>"
