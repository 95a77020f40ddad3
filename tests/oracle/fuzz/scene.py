"""What a scenario being written has done so far: processes, their areas, settings, and the lines.

It is no model of the kernel. It knows just enough to write sensible addresses and to keep away from what the language
forbids: touching missing pages of an armed userfaultfd range, commands to dead processes, running out of memory.
"""

PAGES = 512             # in one 2 MiB range
MOST_TOUCHED = 16000    # pages a scenario may fill: 64 MiB, a quarter of the swap
MOST_PASSES = 40
MOST_PROCESSES = 12     # that the driver has room for, dead ones included

# Start of a case, from the README.
DEFAULTS = {"enabled": "always", "max_ptes_none": 511, "max_ptes_swap": 64, "max_ptes_shared": 256, "pages_to_scan": 4096,
            "shmem_enabled": "never"}


def place(page, base="1T"):
    """The address of a page counted from `base`, as a sum of terms."""
    ranges, pages = divmod(page, PAGES)
    return base + (f"+{2 * ranges}M" if ranges else "") + (f"+{pages}P" if pages else "")


def length(pages):
    return f"{pages // PAGES * 2}M" if pages % PAGES == 0 and pages else f"{pages}P"


class Area:
    """One mmap, as asked for: pieces of it may have gone since."""

    def __init__(self, page, pages, shared=False, base="1T"):
        self.page, self.pages, self.shared, self.base = page, pages, shared, base

    @property
    def end(self):
        return self.page + self.pages

    def ranges(self):
        """First pages of the aligned 2 MiB ranges inside."""
        first = -(-self.page // PAGES) * PAGES
        return list(range(first, self.end - PAGES + 1, PAGES))


class Armed:
    """A range under userfaultfd."""

    def __init__(self, page, pages, mode, whole):
        self.page, self.pages, self.mode, self.protected, self.whole = page, pages, mode, False, whole


class Process:
    def __init__(self, name):
        self.name, self.areas, self.thp, self.alive = name, [], True, True
        self.pinned = self.locked = self.stays = False
        self.may_arm, self.limit, self.heap, self.armed, self.children = True, 0, 0, [], []

    def child(self, name):
        c = Process(name)
        c.areas = [Area(a.page, a.pages, a.shared, a.base) for a in self.areas]
        c.thp, c.heap = self.thp, self.heap
        c.may_arm = self.may_arm and not self.armed  # the descriptor would still mean the parent's memory
        return c

    def armed_in(self, area, page, pages):
        if area.base != "1T":
            return []
        return [a for a in self.armed if a.page < page + pages and page < a.page + a.pages]


class Scene:
    def __init__(self, rng, profile):
        self.rng, self.profile, self.lines, self.processes = rng, profile, [], []
        self.settings = dict(DEFAULTS)
        self.touched = self.passes = self.names = self.labels = 0

    def emit(self, text):
        self.lines.append(text)

    def chance(self, p):
        return self.rng.random() < p

    def alive(self):
        return [p for p in self.processes if p.alive]

    def pick(self):
        return self.rng.choice([p for p in self.alive() if not p.locked] or self.alive())

    def knob(self, name, value):
        self.settings[name] = value
        self.emit(f"knob {name} {value}")

    def near(self, limit, most=PAGES):
        """A count that is on, beside or anywhere around a limit."""
        r = self.rng
        n = limit + r.choice((-1, 0, 0, 1, 1)) if r.random() < 0.6 else r.choice((1, 2, r.randint(1, most), most))
        return max(1, min(most, n))

    def new_process(self):
        if self.names >= MOST_PROCESSES:
            return None
        p = Process("ABCDEFGHIJKLMNOP"[self.names])
        self.names += 1
        self.processes.append(p)
        self.emit(f"proc {p.name}")
        return p

    def fork(self, parent):
        if self.names >= MOST_PROCESSES or parent.pinned or parent.limit or parent.locked:
            return None
        c = parent.child("ABCDEFGHIJKLMNOP"[self.names])
        parent.children.append(c)
        self.names += 1
        self.processes.append(c)
        self.emit(f"fork {parent.name} {c.name}")
        return c

    def thp(self, p, on):
        if p.thp != on:
            p.thp = on
            self.emit(f"thp {p.name} {'on' if on else 'off'}")

    def wake(self, n):
        n = min(n, MOST_PASSES - self.passes)
        if n > 0:
            self.passes += n
            self.emit(f"wake {n}" if n > 1 else "wake")

    def snap(self, label=None):
        self.labels += 1
        self.emit(f"snap {label or 's' + str(self.labels)}")

    def area(self, p, page, pages, prot="rw", shared=False, noreserve=False):
        words = f"mmap {p.name} {place(page)} {length(pages)} {prot}"
        if shared or noreserve:
            words += " shared" if shared else " private"
        self.emit(words + (" noreserve" if noreserve else ""))
        a = Area(page, pages, shared)
        p.areas = [b for b in p.areas if b.base != "1T" or b.page < page or b.end > page + pages] + [a]
        return a

    def may_touch(self, p, area, page, pages, write):
        for a in p.armed_in(area, page, pages):
            if a.mode == "missing" and not a.whole or a.protected and write:
                return False
        return True

    def touch(self, p, area, kind, page, count, stride=1):
        """Touches inside the area only, within what the scenario and the process's limit leave."""
        count = min(count, -(-(area.end - page) // stride), MOST_TOUCHED - self.touched)
        if p.limit:
            count = min(count, 8)
        if count <= 0 or not self.may_touch(p, area, page, (count - 1) * stride + 1, kind == "w"):
            return
        self.touched += count
        self.emit(f"touch {p.name} {kind} {place(page, area.base)} {count}" + (f" {stride}" if stride > 1 else ""))

    def piece(self, area):
        """Some of an area: all, one 2 MiB range, or anything."""
        r, ranges = self.rng, area.ranges()
        kind = r.random()
        if kind < 0.3 or area.pages < 2:
            return area.page, area.pages
        if kind < 0.65 and ranges:
            n = r.choice((1, 1, 1, 2))
            first = r.choice(ranges)
            return first, min(n * PAGES, area.end - first)
        first = r.randrange(area.page, area.end)
        return first, min(area.end - first, r.choice((1, 2, r.randint(1, 64), r.randint(1, PAGES), r.randint(1, area.pages))))
