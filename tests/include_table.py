#!/usr/bin/env python3
"""Checks that every file includes only what its room may include.

The rooms and their walls are the table below. A project file is included as "room/file.h" from the top folder; what a room
does not list, it may not include. Prints one line per violation and exits with 1; tests itself first.

Usage: include_table.py [TOP_FOLDER]
"""

import pathlib
import re
import sys

# Header prefixes of libraries. Everything in <> that is no library below counts as the standard library or the system.
LIBRARIES = {
    "fmt": ("fmt/",),
    "yaml-cpp": ("yaml-cpp/",),
    "zstd": ("zstd.h", "zstd_errors.h"),
    "decompressors": ("zlib.h", "lzma.h", "bzlib.h", "minizip/"),
    "robin-map": ("tsl/",),
    "boost": ("boost/",),
    "nlohmann-json": ("nlohmann/",),
    "pybind11": ("pybind11/", "Python.h"),
    "googletest": ("gtest/", "gmock/"),
    "benchmark": ("benchmark/",),
}

EVERY_ROOM = ("sim/core", "sim/trace", "models/mem", "models/mmu", "models/cpu", "models/kernel", "sim/run")

# room -> what its files may include: rooms (all of their headers), single headers, and libraries. fmt is for everybody.
ROOMS = {
    "sim/core": (),
    "sim/trace": ("sim/core", "zstd", "decompressors"),
    "models/mem": ("sim/core", "robin-map"),
    "models/mmu": ("sim/core", "models/mem", "robin-map"),
    "models/cpu": ("sim/core", "sim/trace/trace.h", "models/mem", "models/mmu"),
    "models/kernel": ("sim/core", "models/mem", "models/mmu/kernel_port.h", "robin-map"),
    "sim/run": EVERY_ROOM + ("robin-map",),
    "training": ("sim/core", "sim/run"),
    "python": EVERY_ROOM + ("pybind11",),
    "tests": EVERY_ROOM + ("tests", "googletest", "benchmark", "nlohmann-json", "robin-map", "yaml-cpp", "zstd", "decompressors"),
}

# Files that may include more than their room: a pattern of the path, and what it may include besides.
FILES = (
    (r"sim/core/config[^/]*\.cc", ("yaml-cpp",)),
    (r"sim/run/(main|cli_[^/]*)\.(h|cc)", ("boost",)),
    (r"sim/run/(report|timeline|scenario)[^/]*\.(h|cc)", ("nlohmann-json",)),
)

# Names that stand for no room: a header without a folder, or one of another project, is a mistake.
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def room_of(path):
    """The room a path belongs to; None for a folder that the table does not know."""
    for room in ROOMS:
        if path.startswith(room + "/"):
            return room
    return None


def library_of(header):
    for library, prefixes in LIBRARIES.items():
        if header.startswith(prefixes):
            return library
    return None


def allowed_to(path):
    allowed = ROOMS[room_of(path)] + (room_of(path), "fmt")
    for pattern, more in FILES:
        if re.fullmatch(pattern, path):
            allowed += more
    return allowed


def objection(path, bracket, header):
    """Why the file at `path` may not include `header`; None if it may."""
    room = room_of(path)
    if room is None:
        return "the file is in no room of the table"
    if bracket == '"':
        target = room_of(header)
        if target is None:
            return 'own files are included as "room/file.h"; libraries in <>'
        if target in allowed_to(path) or header in allowed_to(path):
            return None
        return f"{room} may not include {target}"
    if room_of(header) is not None:
        return 'own files are included with ""'
    library = library_of(header)
    if library is None or library in allowed_to(path):
        return None
    return f"{path} may not include {library}"


def violations(path, text):
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        match = INCLUDE.match(line)
        reason = match and objection(path, match[1], match[2])
        if reason:
            found.append(f"{path}:{number}: {line.strip()}: {reason}")
    return found


def test_the_check():
    """The check must see what it is there for."""
    good = (
        ("models/mem/dram.h", '#include "sim/core/units.h"'),
        ("models/mem/dram.cc", "#include <vector>"),
        ("models/mem/page_table.cc", "#include <tsl/robin_map.h>"),
        ("models/kernel/kernel.h", '#include "models/mmu/kernel_port.h"'),
        ("models/cpu/cpu.h", '#include "sim/trace/trace.h"  // Record'),
        ("sim/core/config_node.cc", "#include <yaml-cpp/parser.h>"),
        ("sim/run/main.cc", "#include <boost/program_options.hpp>"),
        ("sim/trace/trace_ctr.cc", "#include <fmt/format.h>"),
    )
    bad = (
        ("models/mem/dram.h", '#include "models/mmu/mmu.h"'),
        ("models/mem/dram.h", '  #  include "sim/run/machine.h"'),
        ("models/kernel/khugepaged.cc", '#include "models/mmu/tlb.h"'),
        ("models/kernel/khugepaged.cc", "#include <yaml-cpp/yaml.h>"),
        ("models/cpu/cpu.cc", '#include "sim/trace/trace_ctr.h"'),
        ("models/cpu/cpu.cc", '#include "models/kernel/kernel.h"'),
        ("sim/core/units.cc", "#include <yaml-cpp/yaml.h>"),
        ("sim/core/units.cc", '#include "units.h"'),
        ("sim/core/units.cc", '#include "../trace/trace.h"'),
        ("sim/core/units.cc", "#include <sim/trace/trace.h>"),
        ("sim/run/machine.cc", "#include <boost/program_options.hpp>"),
        ("sim/other/new.cc", "#include <vector>"),
    )
    for path, line in good:
        assert not violations(path, line), violations(path, line)
    for path, line in bad:
        assert violations(path, "\n" + line), f"not seen: {path}: {line}"


def main():
    test_the_check()
    top = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent)
    files = sorted(
        file for folder in ("sim", "models", "python", "tests") for file in (top / folder).rglob("*.*")
        if file.suffix in (".h", ".cc")
    )
    if not files:
        sys.exit(f"include_table.py: no source files below {top}")
    found = [line for file in files for line in violations(file.relative_to(top).as_posix(), file.read_text())]
    print("\n".join(found) if found else f"{len(files)} files keep to the table")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
