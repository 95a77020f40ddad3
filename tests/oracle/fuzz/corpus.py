"""A folder of scenarios and what real kernels did with them: NAME.scn and NAME.KERNEL.jsonl, recorded once, compared often."""
import os
import re
import shutil
import tempfile

from . import play, qemu
from .generate import scenario

OTHERS = qemu.BATCH // 2    # scenarios run before a doubtful one


class Corpus:
    def __init__(self, folder, say):
        self.folder, self.say = folder, say
        os.makedirs(folder, exist_ok=True)

    def scenario(self, name):
        return os.path.join(self.folder, name + ".scn")

    def result(self, name, kernel):
        return qemu.result(self.folder, name, kernel)

    def names(self):
        return sorted(f[:-4] for f in os.listdir(self.folder) if f.endswith(".scn"))

    def recorded(self, kernel):
        return [n for n in self.names() if qemu.complete(self.result(n, kernel))]

    def flaw(self, name, kernel):
        return qemu.flaw(self.result(name, kernel))

    def noted(self, what, kernel):
        """Scenarios of which something is known: "dropped" (the guest does not survive) or "racy" (it does not repeat itself)."""
        path = os.path.join(self.folder, f"{what}.{kernel}")
        if not os.path.exists(path):
            return []
        with open(path) as f:
            return f.read().split()

    def note(self, what, kernel, names):
        with open(os.path.join(self.folder, f"{what}.{kernel}"), "a") as f:
            f.writelines(n + "\n" for n in names)

    def write(self, seed, first, count):
        """Scenarios that are there already stay as they are, if they are of this seed."""
        for i in range(first, first + count):
            path = self.scenario(f"fuzz-{i:05d}")
            if os.path.exists(path):
                with open(path) as f:
                    found = re.match(r"# seed (-?\d+), scenario (\d+):", f.readline())
                if not found or (int(found.group(1)), int(found.group(2))) != (seed, i):
                    raise SystemExit(f"{path}: not scenario {i} of seed {seed}; name another folder with --corpus")
                continue
            with open(path, "w") as f:
                f.write(scenario(seed, i))

    def record(self, kernels):
        """Records what has no recording yet. Returns how many were dropped."""
        lost = 0
        for kernel in kernels:
            known = {n for n in self.recorded(kernel) if self.flaw(n, kernel) != qemu.LUCKY} | set(self.noted("dropped", kernel))
            todo = [n for n in self.names() if n not in known]
            for at in range(0, len(todo), qemu.BATCH):
                batch = todo[at:at + qemu.BATCH]
                dropped = qemu.record({n: self.scenario(n) for n in batch}, kernel, self.folder, self.say)
                self.note("dropped", kernel, dropped)
                lost += len(dropped)
                self.say(f"kernel {kernel}: {len(self.recorded(kernel))} recorded, {len(self.noted('dropped', kernel))} dropped")
        return lost

    def not_repeated(self, names, kernel):
        """Those of the scenarios with which the real kernel does something else when asked again: in a boot of their own, then twice
        late in a boot, after others (what ran before decides, for one, whether `hog` leaves a block of 2 MiB free)."""
        racy = []
        for company in ({}, self.others(names, kernel, 0), self.others(names, kernel, 1)):
            left = [n for n in names if n not in racy]
            if not left:
                break
            with tempfile.TemporaryDirectory() as again:
                late = {n: shutil.copy(self.scenario(n), os.path.join(again, f"late-{n}.scn")) for n in left}
                lost = qemu.record({**company, **{f"late-{n}": path for n, path in late.items()}}, kernel, again, self.say)
                for n in left:
                    if f"late-{n}" in lost:
                        self.say(f"{n}: could not be recorded again; counts as disagreeing")
                    elif play.judge().compare(self.result(n, kernel), qemu.result(again, f"late-{n}", kernel)):
                        self.say(f"{n}: kernel {kernel} does not repeat itself {'after others' if company else 'in another boot'}")
                        racy.append(n)
        self.note("racy", kernel, racy)
        return racy

    def others(self, names, kernel, part):
        """Scenarios to run before these in a boot, the first or the second such lot; `fuzz-` sorts before `late-`."""
        some = [n for n in self.recorded(kernel) if n not in names][part * OTHERS:(part + 1) * OTHERS]
        return {n: self.scenario(n) for n in some}
