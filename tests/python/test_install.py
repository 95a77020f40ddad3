"""The package works where `cmake --install` puts it."""

import doctest
import pathlib
import shutil
import subprocess

import collapsar
import pytest
from collapsar import _compare, _config, _result, _run, _simulation, _sweep, _trace
from conftest import BUILD, PACKAGE


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    cmake = shutil.which("cmake")
    if not (BUILD / "CMakeCache.txt").is_file() or cmake is None:
        pytest.skip("the package under test stands in no build tree")
    prefix = tmp_path_factory.mktemp("prefix")
    done = subprocess.run([cmake, "--install", BUILD, "--prefix", prefix], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return prefix


def test_the_installed_package_gives_the_same_numbers(prefix, in_new_python, small, tmp_path):
    (package,) = prefix.glob("lib/python3*/*-packages/collapsar")
    code = f"import collapsar; print(collapsar.__file__); print(collapsar.run({str(small)!r}).json, end='')"
    done = in_new_python(code, path=package.parent, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    file, _, json = done.stdout.partition("\n")
    assert pathlib.Path(file).parent == package
    assert json == collapsar.run(small).json


def test_the_installed_package_finds_the_installed_configs(prefix, in_new_python, tmp_path):
    (package,) = prefix.glob("lib/python3*/*-packages/collapsar")
    code = "from collapsar import _config; print(_config.search_dirs())"
    done = in_new_python(code, path=package.parent, cwd=tmp_path)
    assert done.stdout.strip() == str([str(prefix / "share" / "collapsar" / "configs")]), done.stderr


def test_the_package_tells_its_types(prefix):
    (package,) = prefix.glob("lib/python3*/*-packages/collapsar")
    assert {"py.typed", "_collapsar.pyi", "__init__.py"} <= {file.name for file in package.iterdir()}
    assert {file.name for file in package.iterdir()} == {file.name for file in PACKAGE.iterdir()} - {"__pycache__"}


def test_the_examples_in_the_documentation_are_true():
    for module in (collapsar, _compare, _config, _result, _run, _simulation, _sweep, _trace):
        failed, tried = doctest.testmod(module)
        assert failed == 0
        assert tried > 0


def test_the_version_is_that_of_the_program(program):
    assert program("--version").stdout.splitlines()[0] == f"collapsar {collapsar.__version__}"
