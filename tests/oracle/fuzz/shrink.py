"""Makes a scenario on which the simulator and a real kernel disagree small. Every attempt is recorded on the real kernel, a whole
round of attempts in one boot."""
import os
import tempfile

from . import play, qemu

ROUNDS = 14
KERNELS = ("6.1", "6.12")


def read(path):
    with open(path) as f:
        return [line.split("#")[0].strip() for line in f if line.split("#")[0].strip()]


def sound(lines, original):
    """Whether the recorder can act this out: it waits for ever for dead processes and for userfaults."""
    alive, dead, locked, children = set(), set(), set(), {}
    for words in map(str.split, lines):
        what, who = words[0], words[1] if len(words) > 1 else None
        if what == "proc":
            if who in alive | dead:
                return False
            alive.add(who)
        elif what in ("knob", "wake", "until_full", "snap", "run", "alloc_sleep"):
            continue
        elif who not in alive:
            return False
        elif what == "fork":
            if words[2] in alive | dead or who in locked:
                return False
            alive.add(words[2])
            children.setdefault(who, []).append(words[2])
        elif what == "exit":
            if who in locked:
                return False
            alive.remove(who)
            dead.add(who)
        elif what == "lock":
            if who in locked or alive & set(children.get(who, ())):
                return False
            locked.add(who)
        elif what == "unlock":
            if who not in locked:
                return False
            locked.remove(who)
    return all(lines.count(line) >= original.count(line) for line in needed(original))


def needed(lines):
    """What decides whether a touch of an armed range has an answer: all that comes before the arming, and the disarming."""
    last = max((i for i, line in enumerate(lines) if line.startswith("uffd")), default=-1)
    users = {line.split()[1] for line in lines if line.startswith("uffd")}
    return [line for line in lines[:last + 1] if line.split()[0] in ("uffd", "touch", "mmap", "mprotect") and line.split()[1] in users]


def without(lines, gone):
    return [line for i, line in enumerate(lines) if i not in gone]


def removals(lines):
    """Sets of lines to leave out, large ones first."""
    n, out = len(lines), []
    out += [{i for i, line in enumerate(lines) if p in line.split()[1:3] and line.split()[0] not in ("knob", "snap")}
            for p in sorted({line.split()[-1] for line in lines if line.split()[0] in ("proc", "fork")})]
    size = n // 2
    while size:
        out += [set(range(at, min(at + size, n))) for at in range(0, n, size)]
        size //= 2
    for i, line in enumerate(lines):        # a pair goes together
        words = line.split()
        close = {"lock": ["unlock"], "thp": ["thp"]}.get(words[0], [])
        for j in range(i + 1, n):
            if lines[j].split()[0] in close and lines[j].split()[1] == words[1]:
                out.append({i, j})
                break
    return out


def simpler(line):
    """The same command with smaller numbers."""
    words = line.split()
    if words[0] == "wake" and len(words) > 1:
        return ["wake", f"wake {int(words[1]) // 2}"]
    if words[0] == "until_full":
        return ["wake"]
    if words[0] == "touch":
        smaller = {1, 512, int(words[4]) // 2} - {0, int(words[4])}
        return [" ".join(words[:4] + [str(n)]) for n in sorted(smaller) if n < int(words[4])] + \
            ([" ".join(words[:5])] if len(words) > 5 else [])
    if words[0] in ("mmap", "madvise", "munmap", "mprotect") and words[3] != "2M":
        return [" ".join(words[:3] + ["2M"] + words[4:])]
    return []


def edits(lines):
    return [lines[:i] + [s] + lines[i + 1:] for i, line in enumerate(lines) for s in simpler(line)]


class Shrinker:
    def __init__(self, program, kernel, original, wanted, say):
        self.program, self.kernel, self.original, self.wanted, self.say = program, kernel, original, wanted, say
        self.tried = {}

    def attempt(self, candidates):
        """Those of the candidates that still disagree in the same way, in the order given."""
        unique = list({tuple(c): c for c in candidates if tuple(c) not in self.tried and sound(c, self.original)}.values())
        with tempfile.TemporaryDirectory() as folder:
            files = {}
            for c in unique:
                name = f"c{len(files):04d}"
                path = os.path.join(folder, name + ".scn")
                with open(path, "w") as f:
                    f.write("\n".join(c) + "\n")
                if play.play(self.program, path, self.kernel, folder) is None and len(files) < qemu.BATCH:
                    files[name] = (path, c)
            lost = qemu.record({n: p for n, (p, _) in files.items()}, self.kernel, folder + "/real", lambda text: None) \
                if files else []
            for n, (path, c) in files.items():
                recorded = qemu.result(folder + "/real", n, self.kernel)
                self.tried[tuple(c)] = n not in lost and not qemu.flaw(recorded) and \
                    bool(self.wanted & parts(play.differences(self.program, path, recorded, self.kernel)))
        return [c for c in unique if self.tried.get(tuple(c))]

    def smallest(self, lines):
        unions = []
        for _ in range(ROUNDS):
            sets = removals(lines)
            good = self.attempt([without(lines, gone) for gone in unions + sets])
            if good:
                removed = [gone for gone in sets if self.tried.get(tuple(without(lines, gone)))]
                kept = min(good, key=len)
                unions = together(removed, lines, kept)
                lines = kept
            else:
                good = self.attempt(edits(lines))
                if not good:
                    return lines
                lines, unions = min(good, key=lambda c: sum(map(len, c))), []
            self.say(f"    {len(lines)} lines")
        return lines


def together(removed, lines, kept):
    """What could be left out of `kept` besides, if the removals do not hang together: all of them, halves, quarters, eighths."""
    rest = [{line for i, line in enumerate(lines) if i in gone} for gone in removed]
    out = []
    for pieces in (1, 2, 4, 8):
        size = -(-len(rest) // pieces) or 1
        for at in range(0, len(rest), size):
            gone = set().union(*rest[at:at + size])
            out.append({i for i, line in enumerate(kept) if line in gone})
    return [gone for gone in out if gone]


def parts(found):
    return set(play.signature(found).split("; ")) if found else set()


def shrink(program, corpus, name, kernel, say):
    """Leaves the small scenario and what the real kernels do with it in found/ of the corpus. Returns where."""
    original = read(corpus.scenario(name))
    found = play.differences(program, corpus.scenario(name), corpus.result(name, kernel), kernel)
    if not found or found[0][0] == "simulator":
        return f"{name}: not shrunk, the simulator refuses it"
    say(f"{name}: shrinking ({len(original)} lines)")
    small = Shrinker(program, kernel, original, parts(found), say).smallest(original)
    folder = os.path.join(corpus.folder, "found")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, name + ".scn")
    with open(path, "w") as f:
        f.write(f"# from {name}, kernel {kernel}: {play.signature(found)[:200]}\n" + "\n".join(small) + "\n")
    for k in KERNELS:
        qemu.record({name: path}, k, folder, say)
    return f"{path}: {len(small)} lines"
