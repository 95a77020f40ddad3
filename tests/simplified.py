#!/usr/bin/env python3
"""Prints every known departure from real hardware and real Linux: the `Simplified:` notes of the sources, by file.

This is the long form of "What not to trust" in README.md.

Usage: simplified.py [TOP_FOLDER]
"""

import pathlib
import re
import sys

OTHER_KEY = re.compile(r"[A-Z][a-z]+:(\s|$)")  # Time:, Owns:, Source:, ... end a note


def notes_of(text, marker):
    """Each note as one line; a note runs over the comment lines that follow, up to the next key or an empty one."""
    lines = text.splitlines()
    for index, line in enumerate(lines):
        start = re.search(marker + r"\s*Simplified:\s*(.*)", line)
        if not start:
            continue
        note = [start[1].strip()]
        for following in lines[index + 1:]:
            more = re.match(r"\s*" + marker + r"\s*(.*)", following)
            if not more or not more[1] or OTHER_KEY.match(more[1]):
                break
            note.append(more[1].strip())
        yield " ".join(note)


def main():
    top = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent)
    for folder, endings in (("sim", (".h", ".cc")), ("models", (".h", ".cc")), ("python", (".py", ".cc")), ("configs", (".yaml",))):
        for file in sorted((top / folder).rglob("*.*")):
            if file.suffix not in endings:
                continue
            for note in notes_of(file.read_text(), "//" if file.suffix in (".h", ".cc") else "#"):
                print(f"{file.relative_to(top).as_posix()}: {note}")


if __name__ == "__main__":
    main()
