"""Plays scenarios on the simulated kernel and compares with recordings."""
import concurrent.futures
import functools
import importlib.machinery
import importlib.util
import os
import subprocess
import tempfile

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LIMIT = 60      # seconds for one scenario on the simulator


@functools.cache
def judge():
    """The module `compare`; it has no suffix because it is a program first."""
    loader = importlib.machinery.SourceFileLoader("compare", os.path.join(HERE, "compare"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("compare", loader))
    loader.exec_module(module)
    return module


def play(program, scenario, kernel, out):
    """The simulator's complaint, or None."""
    try:
        done = subprocess.run([program, "scenario", scenario, "--kernel", kernel, "--out", out], capture_output=True, text=True,
                              timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return f"the simulator takes more than {LIMIT} s"
    return (done.stderr.strip() or f"status {done.returncode}")[-600:] if done.returncode else None


def differences(program, scenario, recorded, kernel):
    """As `compare` gives them; a failure of the simulator is a difference too."""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, os.path.basename(recorded))
        complaint = play(program, scenario, kernel, out)
        return [("simulator", 0, None, complaint)] if complaint else judge().compare(recorded, out)


def compare_all(program, corpus, names, kernel, jobs):
    """name -> differences"""
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        todo = {n: pool.submit(differences, program, corpus.scenario(n), corpus.result(n, kernel), kernel) for n in names}
        return {n: f.result() for n, f in todo.items()}


def show(recorded, found):
    judge().show(os.path.basename(recorded), found)


def signature(found):
    """What kind of disagreement it is: the stream, the kind of record and the fields that differ in it."""
    def one(name, want, got):
        if not isinstance(want, dict) or not isinstance(got, dict) or want.get("t") != got.get("t"):
            return name, isinstance(want, dict) and want.get("t"), isinstance(got, dict) and got.get("t"), ()
        return name, want["t"], want["t"], tuple(k for k in want if want[k] != got.get(k) and k not in ("line", "wake", "addr"))
    return frozenset(one(name, w, g) for name, _, w, g in found)
