"""Records scenarios on real kernels, many to a boot; a scenario that hangs or crashes the guest does not cost the others."""
import fcntl
import glob
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WARM = os.path.join(HERE, "fuzz", "warm.scn")
FIRST = "0"     # its name in a boot: comes before all others
AFTER = "-warm" # what is added to the name of the scenario that it follows
BATCH = 80      # scenarios per boot
STALL = 40      # seconds without a further result: the guest hangs (a case takes up to 7 s)
LUCKY = "khugepaged found a busy mmap_lock free"
MOST_LUCK = 4   # recordings of a scenario in which that happened
TRIES = 2       # times that a scenario may be running when the guest hangs or dies


class RecorderError(Exception):
    """Nothing can be recorded at all; it says nothing about any scenario."""


def complete(path):
    """Whether a result file holds a whole case."""
    try:
        with open(path, "rb") as f:
            return b'"t":"end"' in f.read()[-200:]
    except OSError:
        return False


def boot(kernel, folder, scenarios):
    """One boot: `run` with these scenario files, results into `folder`. Never two at a time, whoever asks for them."""
    with open(os.path.join(tempfile.gettempdir(), "oracle-boot.lock"), "w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        boot_now(kernel, folder, scenarios)


def boot_now(kernel, folder, scenarios):
    """Ends the guest from here when nothing comes any more."""
    scratch = tempfile.mkdtemp(prefix="oracle-")
    again = [FIRST] + [os.path.basename(s)[:-4] + AFTER for s in scenarios if takes_all_memory(s)]
    warm = [shutil.copy(WARM, os.path.join(scratch, name + ".scn")) for name in again]
    command = ["nice", os.path.join(HERE, "run"), "-k", kernel, "-o", folder, *warm, *scenarios]
    errors = tempfile.TemporaryFile("w+")
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True,
                           env={**os.environ, "TMPDIR": scratch, "ORACLE_TIMEOUT": "3600"})
    try:
        size, since = -1, time.monotonic()
        while run.poll() is None:
            time.sleep(0.2)
            found = glob.glob(scratch + "/*/result")
            now = sum(map(os.path.getsize, found))
            if now != size or not found:
                size, since = now, time.monotonic()
            elif time.monotonic() - since > STALL:
                stop(run.pid, "qemu-system")    # `run` still sorts out what there is
                since = time.monotonic()
    finally:
        stop(run.pid)
        run.wait()
        shutil.rmtree(scratch, ignore_errors=True)
        booted = complete(result(folder, FIRST, kernel))
        for name in again:
            if os.path.exists(result(folder, name, kernel)):
                os.remove(result(folder, name, kernel))
    if not booted:
        errors.seek(0)
        raise RecorderError(f"kernel {kernel} did not come up: {errors.read()[-500:].strip() or 'no message'}")


def takes_all_memory(scenario):
    """Then the kernel gives up the huge zero page, and the next scenario would not find the machine as the others do."""
    with open(scenario) as f:
        return any(line.startswith("hog") for line in f)


def stop(session, name=""):
    """Ends the processes of one session, or those of them with this name. (`timeout` is in a process group of its own.)"""
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(path) as f:
                text = f.read()
            rest = text[text.rindex(")") + 2:].split()
            if int(rest[3]) == session and text[text.index("(") + 1:].startswith(name):
                os.kill(int(path.split("/")[2]), signal.SIGKILL)
        except (OSError, ValueError):
            continue


def record(scenarios, kernel, folder, say):
    """Records the scenario files (name -> path), again if chance had a hand in it. Results are folder/NAME.KERNEL.jsonl; returns
    the names that have none."""
    left, blamed, lucky, lost = sorted(scenarios), {}, {}, []
    while left:
        batch = left[:BATCH]
        for n in batch:
            if os.path.exists(result(folder, n, kernel)):
                os.remove(result(folder, n, kernel))
        boot(kernel, folder, [scenarios[n] for n in batch])
        done = [n for n in batch if complete(result(folder, n, kernel))]
        for n in done:
            lucky[n] = lucky.get(n, 0) + is_lucky(folder, n, kernel)
        left = [n for n in left if n not in done or is_lucky(folder, n, kernel) and lucky[n] < MOST_LUCK]
        missing = [n for n in batch if n not in done]
        if missing:                     # they run in order of their names: the first without a result is to blame
            n = missing[0]
            blamed[n] = blamed.get(n, 0) + 1
            if blamed[n] >= TRIES:
                say(f"{n}: dropped, the guest hangs or dies on kernel {kernel}")
                lost.append(n)
                left.remove(n)
                if os.path.exists(result(folder, n, kernel)):
                    os.remove(result(folder, n, kernel))
    return lost


def is_lucky(folder, name, kernel):
    return flaw(result(folder, name, kernel)) == LUCKY


def result(folder, name, kernel):
    return os.path.join(folder, f"{name}.{kernel}.jsonl")


def flaw(path):
    """Why a recording is no ground truth, or None: a pass that nobody asked for races with the commands, and the thread that
    keeps mmap_lock busy lets go of it for moments."""
    locked = set()
    with open(path) as f:
        for record in map(json.loads, f):
            t, words = record.get("t"), record.get("cmd", "").split()
            if t == "lost_events":
                return "the recorder lost events"
            if t in ("visit", "vma", "busy") and not record.get("wake") or \
                    t in ("pmd", "file", "pte_mapped") and record.get("by") == "khugepaged" and not record.get("wake"):
                return "it starts a pass that nobody asked for"
            if t == "cmd" and words[:1] == ["lock"]:
                locked.add(words[1])
            if t == "cmd" and words[:1] == ["unlock"]:
                locked.discard(words[1])
            if t == "visit" and record.get("proc") in locked:
                return LUCKY
    return None
