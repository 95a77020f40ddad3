"""What the Python tests share: the built program beside the package, a small config, and captures of a program.

ctest names the program in COLLAPSAR_PROGRAM; without it, it is looked for in the build tree of the package.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import textwrap

import collapsar
import pytest

PACKAGE = pathlib.Path(collapsar.__file__).resolve().parent
BUILD = PACKAGE.parent.parent
HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parent.parent

SMALL = """
    name: small
    trace:
      synthetic:
        - {pattern: touch, footprint: 16MiB, write: true}
        - {pattern: random, footprint: 16MiB, references: 20k}
        - {pattern: idle, time: 25s}
        - {pattern: random, footprint: 16MiB, references: 20k}
    memory.size: 1GiB
    output.interval: 5s
"""


@pytest.fixture(scope="session")
def program():
    path = pathlib.Path(os.environ.get("COLLAPSAR_PROGRAM", BUILD / "collapsar"))
    assert path.is_file(), f"no program {path}; build it, or name it in COLLAPSAR_PROGRAM"

    def call(*arguments):
        return subprocess.run([path, *map(str, arguments)], capture_output=True, text=True, timeout=300)

    return call


@pytest.fixture
def small(tmp_path):
    """The path of a config in a directory of its own."""
    path = tmp_path / "small.yaml"
    path.write_text(textwrap.dedent(SMALL))
    return path


@pytest.fixture(scope="session")
def small_result(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "small.yaml"
    path.write_text(textwrap.dedent(SMALL))
    return collapsar.run(path)


@pytest.fixture
def in_new_python():
    """Runs code in a Python of its own, with one more import path or with the own ones."""

    def call(code, path=None, cwd=None):
        environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
        environment["PYTHONPATH"] = str(path or PACKAGE.parent)
        command = [sys.executable, "-c", textwrap.dedent(code)]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, cwd=cwd)

    return call


def valgrind_version():
    if not (shutil.which("valgrind") and shutil.which("gcc")):
        return ""
    return subprocess.run(["valgrind", "--version"], capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def touching(tmp_path_factory):
    assert valgrind_version().startswith("valgrind-3.19."), "as root: apt-get install valgrind gcc libc6-dev"
    path = tmp_path_factory.mktemp("touching") / "touching"
    subprocess.run(["gcc", "-O1", "-pthread", "-o", path, HERE / "touching.c"], check=True)
    return path


@pytest.fixture(scope="module")
def capture(program, tmp_path_factory):
    """Captures with a cache of its own; gives the trace and what was printed beside it."""
    folder = tmp_path_factory.mktemp("capture")
    old = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")

    def call(*arguments):
        trace = folder / f"{len(list(folder.iterdir()))}.ctr"
        done = program("capture", "--out", trace, *arguments)
        assert done.returncode == 0, done.stderr
        assert not list(folder.glob("*.tmp"))
        return trace, done

    yield call
    if old is None:
        del os.environ["XDG_CACHE_HOME"]
    else:
        os.environ["XDG_CACHE_HOME"] = old
