"""Traces from NumPy arrays."""

from __future__ import annotations

import enum
from typing import Any

import numpy as np

from . import _collapsar


_HIGHEST_ADDRESS = 2**56 - 1  # of user space with 5 levels of page tables (Intel SDM Vol. 3A); 2**47 - 1 with 4


class Kind(enum.IntEnum):
    """What a reference does. MODIFY is a load and a store of the same bytes; the kernel makes the KERNEL kinds."""

    FETCH = 0
    LOAD = 1
    STORE = 2
    MODIFY = 3
    KERNEL_READ = 4
    KERNEL_WRITE = 5


class Trace:
    """References from memory: one process with one thread. trace_from_array() makes it, run() replays it."""

    def __init__(self, records: np.ndarray, name: str) -> None:
        self._array_trace = _collapsar.ArrayTrace(records, name)

    @property
    def name(self) -> str:
        """What reports and errors call it."""
        return self._array_trace.name

    @property
    def records(self) -> np.ndarray:
        """A copy of the references: shape (n,), fields va (bytes), instructions, size (bytes), kind, flags."""
        return self._array_trace.records

    def __len__(self) -> int:
        return len(self._array_trace)

    def __reduce__(self) -> tuple[type[Trace], tuple[np.ndarray, str]]:
        return Trace, (self.records, self.name)

    def __repr__(self) -> str:
        return f"<collapsar.Trace {self.name}: {len(self):,} references>"


def trace_from_array(
    addresses: Any,
    kinds: Any = Kind.LOAD,
    sizes: Any = 8,
    instructions: Any = 4,
    depends: Any = False,
    name: str = "array",
) -> Trace:
    """A trace of references in the order of the array.

    addresses     shape (n,): virtual addresses in bytes, below 2**47 unless the config has `mmu.levels: 5`.
    kinds         what each reference does, numbers of :class:`Kind`.
    sizes         bytes of each reference, 1 to 65535.
    instructions  instructions retired from the end of the reference before up to and with this one; the default is that
                  of synthetic traces, three instructions between two references.
    depends       whether the address was computed from what the last load returned (pointer chasing): such a reference
                  waits for that load.
    name          what reports and errors call the trace.

    Everything but the addresses may also be one value for all. The mappings of the process are inferred: touched pages
    less than 128 KiB apart share an anonymous one.

    >>> import numpy as np
    >>> pages = np.arange(512, dtype=np.uint64) * 4096 + 0x7f00_0000_0000
    >>> trace = trace_from_array(pages, kinds=Kind.STORE, name="one range")
    >>> trace
    <collapsar.Trace one range: 512 references>
    >>> hex(trace.records["va"][1])
    '0x7f0000001000'
    """
    va = np.asarray(addresses)
    if va.ndim != 1:
        raise ValueError(f"addresses: shape {va.shape}; one dimension is right")
    if len(va) == 0:
        raise ValueError("addresses: an empty array; a trace has at least one reference")
    records = np.zeros(len(va), dtype=_collapsar.record_dtype)
    _fill(records, "va", va, "addresses", high=_HIGHEST_ADDRESS)
    _fill(records, "instructions", instructions, "instructions")
    _fill(records, "size", sizes, "sizes")
    _fill(records, "kind", kinds, "kinds", high=max(Kind))
    records["flags"] = np.where(_spread(depends, len(va), "depends") != 0, _collapsar.depends_on_load, 0)
    return Trace(records, name)


def _spread(values: Any, count: int, argument: str) -> np.ndarray:
    """`values` with shape (count,)."""
    array = np.asarray(values)
    if array.shape not in ((), (count,)):
        raise ValueError(f"{argument}: shape {array.shape}; ({count},), like the addresses, or one value is right")
    return np.broadcast_to(array, (count,))


def _fill(records: np.ndarray, field: str, values: Any, argument: str, high: int | None = None) -> None:
    """Nothing is rounded or cut: what does not fit the field is refused."""
    array = _spread(values, len(records), argument)
    if array.dtype.kind not in "iub":
        raise ValueError(f"{argument}: elements of type {array.dtype}; whole numbers are right")
    low = 1 if field == "size" else 0
    high = np.iinfo(records.dtype[field]).max if high is None else high
    for i in (int(array.argmin()), int(array.argmax())):
        if not low <= int(array[i]) <= high:
            raise ValueError(f"{argument}: found {array[i]} at index {i}; {low} to {high} is right")
    records[field] = array
