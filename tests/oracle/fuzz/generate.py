"""Random scenarios over the whole language: a profile says what a scenario is mostly about; the seed decides the rest."""
import random

from . import operations
from .scene import Scene

SMALL = ("full", "full", "part", "part", "zero", "few", "stride", "none")
LIMITS = ("max_ptes_none", "max_ptes_swap", "max_ptes_shared")
RARE = 100      # one scenario in so many runs without free 2 MiB blocks: slow to record
COMMON = {"wake": 10, "snap": 2, "area": 4, "touch": 4, "knob": 2, "thp": 1, "HUGEPAGE": 2, "clear_refs": 1}


class Profile:
    def __init__(self, weight, operations, *, processes=(1, 3), commands=(6, 24), fills=SMALL, shared=0.0, huge_at_fault=0.15,
                 ragged=0.2, advised=0.7, settings=LIMITS + ("pages_to_scan",)):
        self.weight, self.operations = weight, {**COMMON, **operations}
        self.processes, self.commands, self.fills, self.shared = processes, commands, fills, shared
        self.huge_at_fault, self.ragged, self.advised, self.settings = huge_at_fault, ragged, advised, settings


PROFILES = {
    "anon": Profile(14, {"punch": 4, "refill": 4, "COLD": 2, "FREE": 1, "unmap": 2, "over": 1, "mlock": 1, "exit": 1, "proc": 1}),
    "swap": Profile(13, {"pageout": 10, "punch": 2, "COLD": 2, "WILLNEED": 2, "touch": 6, "collapse": 2, "fork": 1, "FREE": 1}),
    "sharing": Profile(12, {"fork": 7, "exit": 3, "pageout": 2, "touch": 6, "collapse": 2, "punch": 1, "protect": 1},
                       settings=LIMITS + ("pages_to_scan", "max_ptes_shared", "max_ptes_shared")),
    "budget": Profile(14, {"wake": 18, "proc": 4, "fork": 2, "exit": 4, "thp": 4, "unmap": 3, "beside": 3, "knob": 4, "touch": 1},
                      processes=(3, 6), fills=("part", "few", "few", "full", "none"), ragged=0.4,
                      settings=("pages_to_scan", "pages_to_scan", "max_ptes_none", "enabled")),
    "shmem": Profile(14, {"collapse": 4, "pageout": 3, "punch": 2, "fork": 2, "unmap": 2, "over": 1, "move": 1, "DONTNEED": 2,
                          "exit": 1, "busy": 1, "touch": 6, "protect": 1, "WILLNEED": 1},
                     shared=0.7, settings=LIMITS + ("shmem_enabled", "shmem_enabled", "pages_to_scan")),
    "uffd": Profile(7, {"uffd": 8, "collapse": 3, "punch": 2, "pageout": 2, "fork": 1, "unmap": 1}, shared=0.15,
                    settings=LIMITS + ("shmem_enabled", "pages_to_scan")),
    "memcg": Profile(5, {"memcg": 4, "collapse": 3, "unmap": 2}, shared=0.15, settings=LIMITS + ("shmem_enabled", "pages_to_scan")),
    "collapse": Profile(12, {"collapse": 12, "punch": 2, "pageout": 2, "fork": 1, "protect": 2, "NOHUGEPAGE": 2, "pin": 2,
                             "unpin": 1, "mlock": 1, "unmap": 1, "exit": 1},
                        shared=0.1, settings=LIMITS + ("enabled", "shmem_enabled", "defrag")),
    "vmas": Profile(12, {"protect": 8, "HUGEPAGE": 4, "NOHUGEPAGE": 4, "unmap": 3, "over": 3, "beside": 5, "mlock": 2, "move": 1,
                         "fork": 1, "proc": 1}, ragged=0.5, settings=LIMITS + ("enabled", "pages_to_scan")),
    "growth": Profile(7, {"move": 6, "heap": 5, "stack": 2, "beside": 2, "unmap": 2, "fork": 1, "collapse": 1, "protect": 1},
                      ragged=0.4),
    "huge": Profile(12, {"fork": 3, "punch": 3, "DONTNEED": 3, "protect": 2, "unmap": 3, "move": 2, "touch": 7, "pageout": 3,
                         "FREE": 1, "exit": 2, "NOHUGEPAGE": 2, "collapse": 1, "POPULATE_READ": 1, "POPULATE_WRITE": 1,
                         "COLD": 1, "PAGEOUT": 1, "pin": 1, "unpin": 1},
                    huge_at_fault=0.75, settings=LIMITS + ("use_zero_page", "thp_defrag", "enabled")),
    "pins": Profile(5, {"pin": 6, "unpin": 3, "mlock": 4, "collapse": 2, "COLD": 1, "pageout": 2, "exit": 1, "unmap": 1}),
    "busy": Profile(4, {"busy": 6, "proc": 1, "fork": 1, "exit": 1, "unmap": 1}, processes=(2, 4), shared=0.2,
                    settings=("pages_to_scan", "shmem_enabled", "max_ptes_none")),
    "all": Profile(10, {name: 1 for name in operations.OPERATIONS if name not in ("memcg", "busy")}, shared=0.2, processes=(1, 4),
                   settings=LIMITS + ("pages_to_scan", "enabled", "shmem_enabled", "use_zero_page", "thp_defrag", "defrag")),
}


def first_process(s):
    """One process is certain to be queued before the first pass and never ends: a pass that found the queue empty would make
    the next process to join start a pass by itself."""
    p = s.new_process()
    p.stays = True
    a = s.area(p, s.rng.randrange(0, 8) * 512, s.rng.choice((1, 2, 3, 4)) * 512)
    s.thp(p, False)
    s.touch(p, a, "w", a.page, 1)
    operations.fill(s, p, a)
    s.thp(p, True)
    operations.advise(s, p, "HUGEPAGE", a.page, a.pages)


def without_free_blocks(s):
    """No free 2 MiB block is left while passes run, nor is compaction allowed to make one; then a process gives them back."""
    r = s.rng
    s.emit(f"alloc_sleep {r.choice((10, 100))}")
    s.knob("pages_to_scan", operations.budget(r))
    first_process(s)
    for _ in range(r.randint(0, 2)):
        operations.new_process(s, None)
    h = s.new_process()
    s.emit(f"hog {h.name} {r.choice((16, 32, 64))}M")
    h.locked = True     # nothing else happens to it
    s.knob("defrag", 0)
    for _ in range(r.randint(1, 4)):
        s.wake(r.randint(1, 3))
        operations.OPERATIONS[r.choice(("refill", "punch", "clear_refs", "snap", "COLD", "HUGEPAGE"))](s, s.pick())
    s.emit(f"exit {h.name}")
    h.alive = False


def scenario(seed, index):
    """The text of scenario `index` of a seed."""
    rng = random.Random(f"{seed}/{index}")
    if index % RARE == RARE - 1:
        s = Scene(rng, PROFILES["anon"])
        without_free_blocks(s)
        return text(s, seed, index, "no free blocks")
    name = rng.choices(list(PROFILES), [p.weight for p in PROFILES.values()])[0]
    profile = PROFILES[name]
    s = Scene(rng, profile)
    for _ in range(rng.randint(1, 4)):
        operations.setting(s)
    first_process(s)
    for _ in range(rng.randint(*profile.processes) - 1):
        operations.new_process(s, None)
    if rng.random() < 0.4:
        s.snap("before")
    names, weights = zip(*profile.operations.items())
    for _ in range(rng.randint(*profile.commands)):
        operations.OPERATIONS[rng.choices(names, weights)[0]](s, s.pick())
    if name == "collapse" and rng.random() < 0.15:
        s.knob("enabled", "never")     # for good: going back would start a pass
        for _ in range(3):
            operations.collapse(s, s.pick())
    return text(s, seed, index, name)


def text(s, seed, index, name):
    s.wake(s.rng.choice((1, 2, 2, 4)))
    s.snap("after")
    return f"# seed {seed}, scenario {index}: {name}\n" + "\n".join(s.lines) + "\n"
