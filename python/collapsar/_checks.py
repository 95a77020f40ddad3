"""Arguments of a wrong type, said in the words that the rest of the errors use."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable, Mapping
from typing import Any

# What run() takes as config and as variants.
CONFIG = "a path, a list of trace files or a dict"
VARIANTS = "a name, a list of names or a dict of name -> changes"


def wrong_type(name: str, found: Any, right: str) -> TypeError:
    """The error to raise where `found` can never be right.

    >>> wrong_type("over", 5, "a dict of key -> values")
    TypeError('over: found 5; a dict of key -> values is right')
    """
    return TypeError(f"{name}: found {found!r}; {right} is right")


def whole(name: str, value: Any) -> int:
    """`value` as an int; NumPy's whole numbers and 1e9 are ones.

    >>> whole("pid", "1")
    Traceback (most recent call last):
    TypeError: pid: found '1'; a whole number is right
    """
    if isinstance(value, float) and value.is_integer():
        return int(value)
    try:
        return operator.index(value)
    except TypeError:
        raise wrong_type(name, value, "a whole number") from None


def wholes(name: str, values: Any) -> list[int]:
    """One whole number, or several, as a list."""
    if hasattr(values, "__index__"):
        return [whole(name, values)]
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise wrong_type(name, values, "a whole number, or a list of them,")
    return [whole(name, value) for value in values]


def names(name: str, values: Any, right: str) -> list[str]:
    """One text, several or none, as a list.

    >>> names("variants", "never", "a name, or a list of names,"), names("variants", None, "a name, or a list of names,")
    (['never'], [])
    """
    if values is None:
        return []
    if isinstance(values, str):
        return [values]
    if not isinstance(values, Iterable):
        raise wrong_type(name, values, right)
    listed = list(values)
    for value in listed:
        if not isinstance(value, str):
            raise wrong_type(name, value, right)
    return listed


def path(name: str, value: Any, right: str = "a path") -> str:
    """A path as a text."""
    try:
        return os.fspath(value)
    except TypeError:
        raise wrong_type(name, value, right) from None
