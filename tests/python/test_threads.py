"""The interpreter is free while a run goes on."""

import signal
import subprocess
import sys
import threading
import time

import collapsar

LONG = {"trace": {"synthetic": [{"pattern": "random", "footprint": "64MiB", "references": "3M"}]}}
ENDLESS = {"trace": {"synthetic": [{"pattern": "random", "footprint": "64MiB", "references": "100G"}]}}


def test_another_thread_runs_meanwhile():
    beats = 0
    done = threading.Event()

    def beat():
        nonlocal beats
        while not done.wait(0.001):
            beats += 1

    thread = threading.Thread(target=beat)
    thread.start()
    before = beats
    collapsar.run(LONG, variants="never")
    during = beats - before
    done.set()
    thread.join()
    assert during >= 10


def test_two_runs_side_by_side_give_the_same_numbers():
    results = [None, None]

    def run(i):
        results[i] = collapsar.run(LONG, set={"trace.limit": "200k"}).json

    threads = [threading.Thread(target=run, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results[0] is not None
    assert results[0] == results[1]


def test_an_interrupt_ends_the_run():
    code = f"import collapsar; print('begins', flush=True); collapsar.run({ENDLESS!r}, jobs=2)"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as child:
        try:
            assert child.stdout.readline() == "begins\n"
            time.sleep(0.5)
            child.send_signal(signal.SIGINT)
            _, said = child.communicate(timeout=60)
        finally:
            child.kill()
    assert said.rstrip().endswith("KeyboardInterrupt")
