"""collapsar: how many TLB misses does khugepaged remove from a program, when, and at what cost?

A simulator of CPUs, TLBs, page walkers, caches, memory, swap and of Linux's khugepaged, which replays memory traces.
This package runs it and hands over the numbers that the program ``collapsar run`` prints, under the same names.

>>> import collapsar
>>> result = collapsar.run({"trace": {"synthetic": [{"pattern": "touch", "footprint": "8MiB", "write": True}]}})
>>> result.variants
['never', 'khugepaged', 'always']
>>> result.stats["never"]["faults.minor"], result.stats["never"]["faults.huge"]
(2048, 0)
>>> result.stats["always"]["faults.huge"], result.stats["always"]["memory.coverage"]
(4, 1.0)

``run`` takes a config file, a trace file or a dict; ``sweep`` runs it at every combination of some keys' values, here or on a
Dask cluster; ``Simulation`` takes one variant step by step; ``compare`` puts results side by side; ``trace_from_array`` turns
NumPy arrays into a trace.
"""

from ._collapsar import version as __version__
from ._compare import compare
from ._result import Histogram, Result, Stats
from ._run import run
from ._simulation import Simulation
from ._sweep import Sweep, sweep
from ._trace import Kind, Trace, trace_from_array

__all__ = [
    "Histogram",
    "Kind",
    "Result",
    "Simulation",
    "Stats",
    "Sweep",
    "Trace",
    "__version__",
    "compare",
    "run",
    "sweep",
    "trace_from_array",
]
