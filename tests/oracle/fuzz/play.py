"""Plays scenarios on the simulated kernel and compares with recordings."""
import concurrent.futures
import functools
import importlib.machinery
import importlib.util
import os
import re
import subprocess
import tempfile

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WARM = os.path.join(HERE, "fuzz", "warm.scn")
LIMIT = 60      # seconds for one scenario on the simulator


@functools.cache
def judge():
    """The module `compare`; it has no suffix because it is a program first."""
    loader = importlib.machinery.SourceFileLoader("compare", os.path.join(HERE, "compare"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("compare", loader))
    loader.exec_module(module)
    return module


def play(program, scenario, kernel, folder):
    """Plays it in a boot of its own, after the scenario that every recorded boot began with. The simulator's complaint, or None."""
    command = [program, "scenario", WARM, scenario, "--kernel", kernel, "--out", folder]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return f"the simulator takes more than {LIMIT} s"
    return (done.stderr.strip() or f"status {done.returncode}")[-600:] if done.returncode else None


def differences(program, scenario, recorded, kernel):
    """As `compare` gives them; a failure of the simulator is a difference too."""
    with tempfile.TemporaryDirectory() as folder:
        complaint = play(program, scenario, kernel, folder)
        if complaint:
            return [("simulator", 0, None, complaint)]
        return judge().compare(recorded, os.path.join(folder, os.path.basename(recorded)))


def compare_all(program, corpus, names, kernel, jobs):
    """name -> differences"""
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        todo = {n: pool.submit(differences, program, corpus.scenario(n), corpus.result(n, kernel), kernel) for n in names}
        return {n: f.result() for n, f in todo.items()}


def show(recorded, found):
    judge().show(os.path.basename(recorded), found)


def keys(want, got):
    """The fields of two records of one kind that differ; counters by name, memory by what is wrong with it."""
    for k in want:
        w, g = want[k], got.get(k)
        if w == g or k in ("line", "wake"):
            continue
        if isinstance(w, dict) and isinstance(g, dict):
            yield from (f"{k}.{x}" for x in set(keys(w, g)) | set(keys(g, w)))
        elif isinstance(w, list) and isinstance(g, list) and len(w) == len(g):
            yield from (f"{k}.{x}" for a, b in zip(w, g) for x in keys(a, b))
        else:
            yield f"{k}={w}/{g}" if k in ("status", "rc", "errno") else k


def signature(found):
    """What kind of disagreement it is, as words: stream, kind of record and fields, of each stream's first difference."""
    def one(stream, want, got):
        if isinstance(want, dict) and isinstance(got, dict) and want.get("t") == got.get("t"):
            return " ".join([want["t"], *sorted(set(keys(want, got)))])
        kind = lambda r: r.get("t") if isinstance(r, dict) else re.sub(r"\d+", "N", str(r))[:60]
        return f"{stream}: {kind(want)} / {kind(got)}"
    return "; ".join(sorted(one(s, w, g) for s, _, w, g in found))


def kinds(results):
    """Lines: how many scenarios disagree in which way, and one of each."""
    found = {}
    for name in sorted(results):
        if results[name]:
            found.setdefault(signature(results[name]), []).append(name)
    return [f"{len(names):5} x {what}, e.g. {' '.join(names[:3])}"
            for what, names in sorted(found.items(), key=lambda i: (-len(i[1]), i[0]))]
