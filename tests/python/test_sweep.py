"""Sweeps: the same points, files and numbers as ``collapsar sweep``; on this computer and on a Dask cluster."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import collapsar
import numpy as np
import pytest
from conftest import PACKAGE

LIMITS = [0, 255, 511]
OVER = {"kernel.khugepaged.max_ptes_none": LIMITS}
VARY = ["--vary", "kernel.khugepaged.max_ptes_none=0,255,511"]


def test_a_sweep_is_that_of_the_program(program, small, tmp_path):
    done = program("sweep", small, *VARY, "--out", tmp_path / "program", "--quiet")
    assert done.returncode == 0, done.stderr
    found = collapsar.sweep(small, OVER, out=tmp_path / "python")
    assert found.table() == done.stdout
    assert (tmp_path / "python" / "sweep.csv").read_text() == (tmp_path / "program" / "sweep.csv").read_text()
    names = sorted(point.name for point in (tmp_path / "program" / "points").iterdir())
    assert sorted(found.keys) == names == sorted(point.name for point in (tmp_path / "python" / "points").iterdir())


def test_what_the_program_has_finished_is_not_run_again(program, small, tmp_path):
    program("sweep", small, *VARY, "--out", tmp_path / "out", "--quiet")
    found = collapsar.sweep(small, OVER, out=tmp_path / "out")
    assert found.kept == [0, 1, 2]
    assert "3 of them finished earlier" in found.table()


def test_a_point_is_what_run_gives(small):
    found = collapsar.sweep(small, OVER)
    assert [point["kernel.khugepaged.max_ptes_none"] for point in found.points] == LIMITS
    for limit, result in zip(LIMITS, found):
        alone = collapsar.run(small, set={"kernel.khugepaged.max_ptes_none": limit})
        assert result.json == alone.json
        assert result.table() == alone.table()
        assert result.ranges_csv == alone.ranges_csv
        for variant, columns in alone.timeseries_arrays().items():
            for name, array in columns.items():
                assert result.timeseries_arrays()[variant][name] == pytest.approx(array, abs=1e-6)


def test_the_frame_has_a_row_per_point_and_variant(small):
    frame = collapsar.sweep(small, {"seed": [1, 2]}, variants=["never", "always"]).frame
    assert list(frame["seed"]) == [1, 1, 2, 2]
    assert list(frame["variant"]) == ["never", "always"] * 2
    assert (frame["refs"] == 16 * 256 + 40000).all()


def test_a_trace_from_arrays_can_be_swept():
    trace = collapsar.trace_from_array(0x7F0000000000 + 4096 * np.arange(600))
    found = collapsar.sweep(over={"seed": [1, 2]}, trace=trace, variants="never")
    assert [result.trace["references"] for result in found] == [600, 600]


def test_a_point_out_of_simulated_memory_is_an_error_of_its_own(small):
    found = collapsar.sweep(small, {"memory.size": ["8MiB", "1GiB"]}, set={"swap.device": "none"})
    assert list(found.errors) == [0]
    assert found.results[0] is None
    assert len(found) == 1
    assert "failed: " in found.table()


@pytest.mark.parametrize(
    ("over", "text"),
    [
        ({"seed": []}, "over: seed: no values"),
        ({"seed": "12"}, "over: seed: found '12'; a list of values is right"),
        ({"sed": [1]}, "--vary sed=1: sed: unknown key"),
        ({"cpu.count": [0]}, "cpu"),
        ({"seed": [1, 1]}, "the same experiment as seed=1"),
    ],
)
def test_wrong_values_are_refused(small, over, text):
    with pytest.raises(ValueError, match=re.escape(text)):
        collapsar.sweep(small, over)


def test_an_interrupt_ends_a_sweep_and_keeps_what_is_finished(tmp_path):
    config = {"trace": {"synthetic": [{"pattern": "random", "footprint": "64MiB", "references": "500k"}]}}
    code = f"import collapsar; collapsar.sweep({config!r}, {{'seed': range(200)}}, variants='never', out={str(tmp_path)!r})"
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) as child:
        try:
            _wait_for(lambda: any(not p.name.startswith(".") for p in tmp_path.glob("points/*")))
            child.send_signal(signal.SIGINT)
            _, said = child.communicate(timeout=60)
        finally:
            child.kill()
    assert said.rstrip().endswith("KeyboardInterrupt")


def test_a_result_can_be_loaded_from_its_directory(small, tmp_path):
    result = collapsar.run(small, out=tmp_path / "out")
    loaded = collapsar.Result.load(tmp_path / "out")
    assert loaded.json == result.json
    assert loaded.ranges.equals(result.ranges)
    with pytest.raises(ValueError, match="no result of collapsar"):
        collapsar.Result.load(tmp_path)


# ---- A cluster: a scheduler and two workers, each a process, over TCP on the loopback --------------------------------

SLOW = {"trace": {"synthetic": [{"pattern": "random", "footprint": "64MiB", "references": "300k"}]}, "memory.size": "1GiB"}
SEEDS = list(range(1, 13))


def _wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def _start(command, *arguments):
    environment = dict(os.environ, PYTHONPATH=str(PACKAGE.parent), PYTHONDONTWRITEBYTECODE="1")
    return subprocess.Popen([shutil.which(command), *arguments], env=environment, stderr=subprocess.DEVNULL)


@pytest.fixture
def cluster(tmp_path):
    distributed = pytest.importorskip("distributed")
    file = tmp_path / "scheduler.json"
    processes = [_start("dask-scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file))]
    try:
        _wait_for(file.exists)
        for number in (1, 2):
            folder = tmp_path / f"worker{number}"
            options = ["--host", "127.0.0.1", "--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(folder)]
            processes.append(_start("dask-worker", "--scheduler-file", str(file), *options))
        with distributed.Client(scheduler_file=str(file), timeout=60) as client:
            client.wait_for_workers(2, timeout=60)
            yield client, processes[1:]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_a_killed_worker_costs_no_point_and_doubles_none(cluster, tmp_path):
    client, workers = cluster
    here = collapsar.sweep(SLOW, {"seed": SEEDS}, variants="never")
    points = tmp_path / "out" / "points"

    def kill_in_the_middle():
        _wait_for(lambda: points.is_dir() and sum(not p.name.startswith(".") for p in points.iterdir()) >= 2)
        killed.append(sum(not p.name.startswith(".") for p in points.iterdir()))
        workers[0].kill()

    killed = []
    killer = threading.Thread(target=kill_in_the_middle)
    killer.start()
    there = collapsar.sweep(SLOW, {"seed": SEEDS}, variants="never", client=client, out=tmp_path / "out")
    killer.join()
    assert workers[0].wait(timeout=60) == -signal.SIGKILL
    assert 2 <= killed[0] < len(SEEDS), "the worker died before or after the work"
    assert len(client.scheduler_info()["workers"]) == 1
    assert not there.errors
    assert [point["seed"] for point in there.points] == SEEDS
    assert len(there) == len(set(there.keys)) == len(list(points.iterdir())) == len(SEEDS)
    assert list(there.frame["seed"]) == SEEDS
    assert [result.json for result in there] == [result.json for result in here]
    assert there.csv == here.csv


def test_errors_come_back_from_the_workers(cluster, small):
    client, _ = cluster
    found = collapsar.sweep(small, {"memory.size": ["8MiB", "1GiB"]}, set={"swap.device": "none"}, client=client)
    here = collapsar.sweep(small, {"memory.size": ["8MiB", "1GiB"]}, set={"swap.device": "none"})
    assert found.errors == here.errors
    assert found.csv == here.csv


def test_a_trace_from_arrays_goes_to_the_workers(cluster):
    client, _ = cluster
    trace = collapsar.trace_from_array(range(0x7F0000000000, 0x7F0000000000 + 4096 * 600, 4096))
    found = collapsar.sweep(over={"seed": [1, 2]}, trace=trace, variants="never", client=client)
    assert [result.stats["never"]["faults.minor"] for result in found] == [600, 600]
