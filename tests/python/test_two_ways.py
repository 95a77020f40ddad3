"""The same program captured two ways, by `collapsar capture` and in a foreign format, touches the same pages.

Needs Debian 12's Valgrind, gcc, QEMU and perf. No tool that writes ChampSim, din or drmemtrace is in Debian: QEMU runs
the program, qemu_records.c writes down what it does, foreign_formats.py packs that as those tools do.

pytest -s prints the pages.
"""

import ctypes
import lzma
import pathlib
import shutil
import subprocess
import tempfile

import numpy as np
import pytest
from conftest import HERE
from foreign_formats import FETCH, RECORD, distinct_pages, write_champsim, write_din, write_drmemtrace
from trace_info import data_footprint, footprint, info


def perl(strings):
    """A real program, of one thread: so many strings of 2,000 bytes."""
    return ["/usr/bin/perl", "-e", f'$a[$_] = "x" x 2000 for 1 .. {strings}']


@pytest.fixture(scope="module")
def qemu(tmp_path_factory):
    """Runs a program under QEMU and gives its records."""
    assert shutil.which("qemu-x86_64") and shutil.which("gcc"), "as root: apt-get install qemu-user gcc libc6-dev"
    folder = tmp_path_factory.mktemp("qemu")
    plugin, out = folder / "qemu_records.so", folder / "records"
    compile_it = ["gcc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", plugin, HERE / "qemu_records.c"]
    subprocess.run(compile_it, check=True)

    def call(*command):
        run_it = ["qemu-x86_64", "-plugin", f"file={plugin},out={out}", *command]
        done = subprocess.run(run_it, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        records = np.fromfile(out, RECORD)
        out.unlink()
        return records

    return call


@pytest.fixture(scope="module")
def pages_of(program):
    """The pages of a trace, and those of its data."""

    def call(trace):
        return footprint(info(program, trace)), data_footprint(program, trace)

    return call


@pytest.fixture
def folder():
    """For large files: unlike tmp_path it does not stay."""
    with tempfile.TemporaryDirectory() as name:
        yield pathlib.Path(name)


@pytest.fixture(scope="module")
def perl_two_ways(capture, qemu, pages_of):
    """Pages as captured; QEMU's records."""
    return pages_of(capture("--", *perl(1000))[0]), qemu(*perl(1000))


@pytest.fixture(scope="module")
def touching_pages(capture, pages_of, touching):
    return pages_of(capture("--", touching)[0])


@pytest.fixture(scope="module")
def touching_two_ways(touching_pages, qemu, touching):
    return touching_pages, qemu(touching)


def is_within_2_percent(what, ours, theirs):
    difference = 100 * (ours - theirs) / theirs
    print(f"\n{what}: {ours:,} pages captured, {theirs:,} the other way, {difference:+.2f} %", end=" ")
    return abs(difference) <= 2


def check(what, ours, records, theirs, have_sizes):
    """The reader takes every page of the records, and both ways of capturing agree; all pages, and those of data."""
    data = records[records["kind"] != FETCH]
    assert theirs == (distinct_pages(records, have_sizes), distinct_pages(data, have_sizes))
    assert is_within_2_percent(f"{what}, data", ours[1], theirs[1])
    assert is_within_2_percent(f"{what}, all", ours[0], theirs[0])


@pytest.mark.parametrize("name", ["perl", "touching"])
def test_din(name, request, pages_of, folder):
    ours, records = request.getfixturevalue(f"{name}_two_ways")
    write_din(records, folder / f"{name}.din")
    check(f"{name}, din", ours, records, pages_of(folder / f"{name}.din"), have_sizes=False)


def test_champsim(perl_two_ways, pages_of, folder):
    ours, records = perl_two_ways
    write_champsim(records, folder / "perl.champsimtrace")
    check("perl, ChampSim", ours, records, pages_of(folder / "perl.champsimtrace"), have_sizes=False)


def test_champsim_packed_with_xz(perl_two_ways, pages_of, folder):
    plain, packed = folder / "plain.champsimtrace", folder / "packed.champsimtrace.xz"
    write_champsim(perl_two_ways[1][:500_000], plain)
    packed.write_bytes(lzma.compress(plain.read_bytes(), preset=0))
    assert pages_of(packed) == pages_of(plain)


def test_drmemtrace(perl_two_ways, pages_of, folder):
    ours, records = perl_two_ways
    write_drmemtrace(records, folder / "perl.dir", "perl")
    check("perl, drmemtrace", ours, records, pages_of(folder / "perl.dir"), have_sizes=True)


def test_drmemtrace_with_two_threads(program, touching_two_ways, pages_of, folder):
    ours, records = touching_two_ways
    write_drmemtrace(records, folder / "touching.dir", "touching", chunk_instructions=10_000)
    assert "processes     1, threads 2\n" in info(program, folder / "touching.dir")
    check("touching, drmemtrace", ours, records, pages_of(folder / "touching.dir"), have_sizes=True)


def test_one_page_in_thirty_that_is_lost_is_noticed(touching_two_ways, pages_of, folder):
    ours, records = touching_two_ways
    pages = records["address"] >> 12
    write_din(records[~np.isin(pages, np.unique(pages)[::30])], folder / "some.din")
    assert not is_within_2_percent("one page in thirty lost, data", ours[1], pages_of(folder / "some.din")[1])


def test_lackey(touching, touching_pages, pages_of, folder):
    log = folder / "lackey.txt"
    run_it = ["valgrind", "--tool=lackey", "--trace-mem=yes", f"--log-file={log}", touching]
    subprocess.run(run_it, check=True, capture_output=True, timeout=300)
    for what, ours, lackeys in zip(("all", "data"), touching_pages, pages_of(log)):
        assert is_within_2_percent(f"touching, lackey, {what}", ours, lackeys)


@pytest.fixture(scope="module")
def perf(tmp_path_factory):
    """Records the page faults of a program, on pages of 4 KiB, and gives the text of perf script."""
    assert shutil.which("perf"), "as root: apt-get install linux-perf"
    folder = tmp_path_factory.mktemp("perf")

    def without_huge_pages():
        PR_SET_THP_DISABLE = 41
        assert ctypes.CDLL(None).prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0

    def call(*command):
        data, text = folder / "perf.data", folder / "faults.perf"
        record = ["perf", "record", "-q", "-e", "page-faults", "-c", "1", "-d", "-o", data, *command]
        done = subprocess.run(record, capture_output=True, text=True, preexec_fn=without_huge_pages, timeout=300)
        refusals = ("perf_event_paranoid", "not permitted", "not supported", "not implemented")
        if done.returncode != 0 and any(refusal in done.stderr for refusal in refusals):
            pytest.skip(f"the kernel lets nobody record page faults here: {done.stderr}")
        assert done.returncode == 0, done.stderr
        with open(text, "w") as out:
            script = ["perf", "script", "-i", data, "-F", "comm,pid,tid,time,event,addr,ip"]
            subprocess.run(script, stdout=out, check=True, timeout=300)
        return text

    return call


# File pages that are only read fault up to 16 at a time (fault-around): perf misses most of perl's and its libraries'.
# Against those, some 170 of data, the program has to have many of its own.
@pytest.mark.parametrize("name", ["touching", "perl"])
def test_perf(name, program, capture, touching, perf):
    command = [touching] if name == "touching" else perl(30000)
    ours = footprint(info(program, capture("--ifetch", "none", "--", *command)[0]))
    assert is_within_2_percent(f"{name}, perf, data", ours, data_footprint(program, perf(*command)))
