"""Python values -> the texts that the simulator reads: YAML, and the assignments of ``--set``."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Union

from ._checks import names

# Values of a config: numbers, truth values, texts such as "10ms", None for `none`, and maps and lists of these.
Config = Mapping[str, Any]
Sets = Union[Mapping[str, Any], Iterable[str], None]

# What YAML reads as exactly this text without quotes. A value with a unit is one; anything else is quoted.
_PLAIN = re.compile(r"(?:[A-Za-z0-9_./+]|-[0-9])[A-Za-z0-9_./+%-]*")
_NULLS = ("null", "Null", "NULL")


def yaml_of(value: Any) -> str:
    """`value` as YAML on one line.

    >>> yaml_of({"mmu.l1d": [{"pages": ["4K"], "sets": 16, "ways": 4}], "caches": None})
    '{mmu.l1d: [{pages: [4K], sets: 16, ways: 4}], caches: none}'
    """
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)}: {yaml_of(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, (str, os.PathLike)):
        return _text(os.fspath(value))
    if hasattr(value, "tolist"):  # NumPy's arrays and numbers
        return yaml_of(value.tolist())
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(yaml_of, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    raise TypeError(f"a config holds no {type(value).__name__}: {value!r}")


def assignments(sets: Sets) -> list[str]:
    """The arguments of ``--set``. Texts stay as they are: what follows the `=` is YAML, as on the command line.

    >>> assignments({"kernel.thp.enabled": "madvise", "cpu.count": 2})
    ['kernel.thp.enabled=madvise', 'cpu.count=2']
    >>> assignments(["cpu.count=2"])
    ['cpu.count=2']
    """
    if isinstance(sets, Mapping):
        return [f"{key}={value if isinstance(value, str) else yaml_of(value)}" for key, value in sets.items()]
    return names("set", sets, 'a dict, or a list of texts "key=value",')


def search_dirs() -> list[str]:
    """Folders of installed configs: share/collapsar/configs of the prefix, or of the build tree."""
    package = Path(__file__).resolve().parent
    candidates = (folder / "share" / "collapsar" / "configs" for folder in package.parents)
    return next(([str(folder)] for folder in candidates if folder.is_dir()), [])


def _text(text: str) -> str:
    return text if _PLAIN.fullmatch(text) and text not in _NULLS else json.dumps(text, ensure_ascii=False)


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"a key of a config is a text, not {key!r}")
    return _text(key)
