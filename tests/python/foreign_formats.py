"""Records of a run, as qemu_records.c writes them, packed as the tools of other simulators pack theirs.

Nothing of a run is left out: which pages a packed file holds is known exactly. The formats: what trace_din.cc,
trace_champsim.cc and trace_drmemtrace.h in sim/trace name as their sources.
"""

import zipfile

import numpy as np

RECORD = np.dtype([("address", "<u8"), ("thread", "<u4"), ("size", "<u2"), ("kind", "<u2")])
FETCH, LOAD, STORE = 0, 1, 2
BATCH = 1 << 20  # packed at once


def distinct_pages(records, have_sizes):
    first = records["address"] >> 12
    last = (records["address"] + records["size"] - 1) >> 12 if have_sizes else first
    return len(np.union1d(first, last))


def write_din(records, path):
    """Lines of a label and 16 digits."""
    label_of = np.frombuffer(b"201", np.uint8)  # by kind
    with open(path, "wb") as file:
        for start in range(0, len(records), BATCH):
            batch = records[start : start + BATCH]
            lines = np.full((len(batch), 19), ord(" "), np.uint8)
            lines[:, 0] = label_of[batch["kind"]]
            digits = batch["address"][:, None] >> np.arange(60, -1, -4, dtype=np.uint64) & 15
            lines[:, 2:18] = np.frombuffer(b"0123456789abcdef", np.uint8)[digits]
            lines[:, 18] = ord("\n")
            file.write(lines.tobytes())


INSTRUCTION = np.dtype([
    ("ip", "<u8"), ("is_branch", "u1"), ("branch_taken", "u1"), ("registers", "u1", 6),
    ("stores", "<u8", 2), ("loads", "<u8", 4),
])  # fmt: skip
assert INSTRUCTION.itemsize == 64


def champsim_of(records):
    """One record for each instruction; one that makes more accesses than a record has room for is there again."""
    fetches = np.flatnonzero(records["kind"] == FETCH)
    number = np.cumsum(records["kind"] == FETCH) - 1  # of the instruction that a record belongs to
    slots = []
    copies = np.ones(len(fetches), int)
    for kind, name in ((LOAD, "loads"), (STORE, "stores")):
        accesses = np.flatnonzero(records["kind"] == kind)
        owner = number[accesses]
        place = np.arange(len(owner)) - np.searchsorted(owner, owner)  # among the accesses of its instruction
        copy, slot = np.divmod(place, INSTRUCTION[name].shape[0])
        np.maximum.at(copies, owner, copy + 1)
        slots.append((name, records["address"][accesses], owner, copy, slot))
    packed = np.zeros(copies.sum(), INSTRUCTION)
    row_of = np.cumsum(copies) - copies
    ip = records["address"][fetches]
    packed["ip"] = np.repeat(ip, copies)
    is_taken = np.append(ip[1:] != ip[:-1] + records["size"][fetches][:-1], False)
    packed["is_branch"] = packed["branch_taken"] = np.repeat(is_taken, copies)
    for name, addresses, owner, copy, slot in slots:
        packed[name][row_of[owner] + copy, slot] = addresses
    return packed


def write_champsim(records, path):
    assert len(np.unique(records["thread"])) == 1, "ChampSim traces have one thread"
    fetches = np.flatnonzero(records["kind"] == FETCH)
    ends = [*fetches[BATCH::BATCH], len(records)]  # each batch begins with an instruction
    with open(path, "wb") as file:
        for start, end in zip([fetches[0], *ends], ends):
            file.write(champsim_of(records[start:end]).tobytes())


ENTRY = np.dtype([("type", "<u2"), ("size", "<u2"), ("value", "<u8")])
assert ENTRY.itemsize == 12
READ, WRITE, INSTR, INSTR_NO_FETCH = 0, 1, 10, 29
THREAD, THREAD_EXIT, PID, HEADER, FOOTER, MARKER = 22, 23, 24, 25, 26, 28
# Markers.
TIMESTAMP, CPU_ID, FILETYPE, LINE_SIZE, VERSION, PAGE_SIZE, CHUNK_INSTRS, CHUNK_FOOTER = 2, 3, 9, 10, 12, 18, 20, 21
X86_64 = 0x40  # a file type
START = 13_000_000_000_000_000  # a time of day, in us since 1601


def entries_of(records, moments):
    """A thread's instructions and accesses, its time before every 4096 of them, as where a buffer has gone out."""
    entries = np.empty(len(records), ENTRY)
    entries["type"] = np.array([INSTR, READ, WRITE])[records["kind"]]
    entries["size"], entries["value"] = records["size"], records["address"]
    fetches = np.flatnonzero(records["kind"] == FETCH)
    is_repeated = entries["value"][fetches][1:] == entries["value"][fetches][:-1]  # rep movs and the like
    entries["type"][fetches[1:][is_repeated]] = INSTR_NO_FETCH
    buffers = np.arange(0, len(entries), 4096)
    times = np.array([(MARKER, TIMESTAMP, START + moment) for moment in moments[buffers].tolist()], ENTRY)
    cpus = np.full(len(buffers), np.array((MARKER, CPU_ID, 0), ENTRY))
    return np.insert(entries, np.repeat(buffers, 2), np.column_stack([times, cpus]).ravel())


def write_drmemtrace(records, folder, app, chunk_instructions=100_000):
    """A folder as drmemtrace leaves it: a zip archive for each thread, a member for each chunk. A record takes 1 us."""
    (folder / "trace").mkdir(parents=True)
    process = int(records["thread"][0])
    for number, thread in enumerate(np.unique(records["thread"]).tolist()):
        moments = np.flatnonzero(records["thread"] == thread)
        entries = entries_of(records[moments], moments)
        head = [
            (HEADER, 0, 5), (MARKER, VERSION, 5), (MARKER, FILETYPE, X86_64), (THREAD, 0, thread), (PID, 0, process),
            (MARKER, LINE_SIZE, 64), (MARKER, PAGE_SIZE, 4096), (MARKER, CHUNK_INSTRS, chunk_instructions),
        ]  # fmt: skip
        chunks = np.split(entries, np.flatnonzero(entries["type"] == INSTR)[chunk_instructions::chunk_instructions])
        parts = [[chunk, np.array([(MARKER, CHUNK_FOOTER, i)], ENTRY)] for i, chunk in enumerate(chunks)]
        parts[0].insert(0, np.array(head, ENTRY))
        parts[-1][-1] = np.array([(THREAD_EXIT, 0, thread), (FOOTER, 0, 0)], ENTRY)
        path = folder / "trace" / f"drmemtrace.{app}.{thread}.{number:04}.trace.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for i, part in enumerate(parts):
                archive.writestr(f"chunk.{i:04}", np.concatenate(part).tobytes())
