"""The commands of a random scenario, one function each: writes lines into a scene, or nothing if it does not apply."""
from .scene import MOST_TOUCHED, PAGES, Area, Armed, length, place

LIMITS = (0, 0, 1, 2, 8, 10, 17, 64, 100, 255, 256, 257, 300, 400, 510, 511, 511)
BUDGETS = (1, 2, 11, 100, 300, 511, 512, 513, 518, 520, 521, 522, 523, 530, 800, 1024, 1034, 1043, 1500, 2048, 4096, 4096, 10000)


def budget(r):
    return r.choice(BUDGETS) if r.random() < 0.8 else r.randint(1, 10000)


def some_area(s, p, shared=None):
    areas = [a for a in p.areas if shared is None or a.shared == shared]
    return s.rng.choice(areas) if areas else None


# ---------------------------------------------------------------- memory gets its contents

def fill_range(s, p, area, first):
    """Gives one 2 MiB range a population that lies on or near a limit."""
    r = s.rng
    kind = r.choice(s.profile.fills)
    last = min(first + PAGES, area.end)
    first = max(first, area.page)
    n = last - first
    count = s.near(PAGES - s.settings["max_ptes_none"], n)
    if kind == "full":
        s.touch(p, area, "w", first, n)
    elif kind == "part":
        s.touch(p, area, "w", first if r.random() < 0.7 else first + r.randint(0, n - count), count)
    elif kind == "zero":
        zeros = s.near(s.settings["max_ptes_none"], n)
        s.touch(p, area, "r", first, zeros)
        s.touch(p, area, "w", first + zeros, n - zeros if r.random() < 0.7 else r.randint(0, n))
    elif kind == "stride":
        stride = r.choice((2, 3, 8, 64))
        s.touch(p, area, "w", first, -(-n // stride), stride)
    elif kind == "few":
        s.touch(p, area, r.choice("wwr"), first + r.randrange(n), 1)


def fill(s, p, area):
    for first in range(area.page // PAGES * PAGES, area.end, PAGES):
        fill_range(s, p, area, first)


def fill_small(s, p, area):
    """Fills with 4 KiB pages: huge ones are off meanwhile."""
    was = p.thp
    s.thp(p, False)
    fill(s, p, area)
    s.thp(p, was)


def new_area(s, p, shared=None):
    r = s.rng
    pages = r.choice((1, 1, 2, 2, 3, 4)) * PAGES
    page = r.randrange(0, 24) * PAGES
    if r.random() < s.profile.ragged:
        page += r.choice((256, r.randrange(PAGES)))
        pages = max(1, pages + r.choice((0, -1, 1, 256, r.randint(-PAGES, PAGES))))
    if shared is None:
        shared = r.random() < s.profile.shared
    if p.armed_in(Area(page, pages), page, pages):
        return None
    return s.area(p, page, pages, "rw" if r.random() < 0.93 else r.choice(("r", "rx", "none", "rwx")), shared, r.random() < 0.05)


def populated_area(s, p):
    """An area, its contents and in most cases the advice."""
    a = new_area(s, p)
    if a is None or s.touched > MOST_TOUCHED - 2048 and s.chance(0.5):
        return
    if s.chance(s.profile.huge_at_fault):
        fill(s, p, a)
    else:
        fill_small(s, p, a)
    if s.chance(0.7 if s.settings["enabled"] == "madvise" else s.profile.advised):
        s.emit(f"madvise {p.name} {place(a.page)} {length(a.pages)} HUGEPAGE")


def touch_more(s, p):
    a = some_area(s, p)
    if a:
        page, pages = s.piece(a)
        kind = s.rng.choice("wwr")
        if s.chance(0.7):
            was = p.thp
            s.thp(p, s.chance(0.4))
            s.touch(p, a, kind, page, s.rng.choice((1, 1, 2, pages)))
            s.thp(p, was)
        else:
            s.touch(p, a, kind, page, s.rng.choice((1, pages)))


def refill(s, p):
    a = some_area(s, p)
    if a:
        ranges = a.ranges()
        if ranges:
            was = p.thp
            s.thp(p, False)
            fill_range(s, p, a, s.rng.choice(ranges))
            s.thp(p, was)


# ---------------------------------------------------------------- mappings

def unmap(s, p):
    a = some_area(s, p)
    if a and a.base == "1T":
        page, pages = s.piece(a)
        s.emit(f"munmap {p.name} {place(page)} {length(pages)}")


def map_over(s, p):
    a = some_area(s, p)
    if a and a.base == "1T":
        page, pages = s.piece(a)
        if not p.armed_in(a, page, pages):
            b = s.area(p, page, pages, s.rng.choice(("rw", "rw", "rw", "r", "none")), a.shared if s.chance(0.7) else not a.shared)
            if s.chance(0.5):
                fill_small(s, p, b)


def map_beside(s, p):
    """Next to an area: the two may become one VMA."""
    a = some_area(s, p)
    if a and a.base == "1T":
        pages = s.rng.choice((1, 256, PAGES, 2 * PAGES))
        page = a.end if s.chance(0.6) or a.page < pages else a.page - pages
        if not p.armed_in(a, page, pages):
            b = s.area(p, page, pages, "rw", a.shared)
            if s.chance(0.6):
                fill_small(s, p, b)


def protect(s, p):
    a = some_area(s, p)
    if a and not any(g.protected for g in p.armed):
        page, pages = s.piece(a)
        s.emit(f"mprotect {p.name} {place(page, a.base)} {length(pages)} {s.rng.choice(('r', 'r', 'rw', 'rw', 'rw', 'none', 'rx'))}")


def move(s, p):
    a = some_area(s, p)
    if not a or a.base != "1T":
        return
    page, pages = s.piece(a)
    to = s.rng.randrange(24, 40) * PAGES if s.chance(0.6) else s.rng.randrange(0, 40) * PAGES
    to += page % PAGES if s.chance(0.4) else 0 if s.chance(0.7) else s.rng.randrange(PAGES)
    if to < page + pages and page < to + pages or p.armed_in(a, page, pages) or p.armed_in(a, to, pages):
        return
    s.emit(f"mremap {p.name} {place(page)} {length(pages)} {place(to)}")
    p.areas.append(Area(to, pages, a.shared))


def lock_pages(s, p):
    a = some_area(s, p)
    if a and not p.limit:
        page, pages = s.piece(a)
        if not p.armed_in(a, page, pages) and s.touched + pages < MOST_TOUCHED:
            s.touched += pages
            s.emit(f"{s.rng.choice(('mlock', 'mlock', 'munlock'))} {p.name} {place(page, a.base)} {length(pages)}")


def heap(s, p):
    p.heap = s.rng.choice((0, 256, PAGES, 2 * PAGES, 3 * PAGES, s.rng.randint(1, 4 * PAGES)))
    s.emit(f"brk {p.name} {length(p.heap) if p.heap else 0}")
    p.areas = [a for a in p.areas if a.base != "heap"]
    if p.heap:
        a = Area(0, p.heap, base="heap")
        p.areas.append(a)
        if s.chance(0.7):
            (fill if s.chance(0.3) else fill_small)(s, p, a)


def stack(s, p):
    if not p.limit:
        was = p.thp
        s.thp(p, s.chance(0.4))
        s.emit(f"stack {p.name} {s.rng.choice(('100K', '1M', '3M', '5M', '6M'))}")
        s.thp(p, was)


# ---------------------------------------------------------------- advice

def advise(s, p, advice, page, pages, base="1T"):
    s.emit(f"madvise {p.name} {place(page, base)} {length(pages)} {advice}")


def advise_some(s, p, advice, shared=None):
    a = some_area(s, p, shared)
    if not a:
        return
    page, pages = s.piece(a)
    armed = p.armed_in(a, page, pages)
    if armed and advice.startswith("POPULATE"):
        return
    if advice.startswith("POPULATE"):
        if p.limit or s.touched + pages > MOST_TOUCHED:
            return
        s.touched += pages
    if advice in ("DONTNEED", "FREE"):
        for g in armed:
            g.whole = False
        if p.limit:
            return
    advise(s, p, advice, page, pages, a.base)


def page_out(s, p):
    """As many pages of one range as the limit for swapped ones allows, about."""
    a = some_area(s, p)
    if not a:
        return
    ranges = a.ranges()
    if not ranges or s.chance(0.2):
        return advise_some(s, p, "PAGEOUT")
    first = s.rng.choice(ranges)
    count = s.near(s.settings["max_ptes_swap"])
    offset = s.rng.choice((0, 0, PAGES - count, s.rng.randint(0, PAGES - count)))
    advise(s, p, "PAGEOUT", first + offset, count, a.base)


def punch(s, p):
    """Empties as many entries of one range as the limit for empty ones allows, about."""
    a = some_area(s, p)
    if not a or p.limit:
        return
    ranges = a.ranges()
    if not ranges:
        return
    first = s.rng.choice(ranges)
    count = s.near(s.settings["max_ptes_none"])
    for g in p.armed_in(a, first, PAGES):
        g.whole = False
    advise(s, p, "DONTNEED", first + s.rng.choice((0, PAGES - count)), count, a.base)


def collapse(s, p):
    a = some_area(s, p)
    if a:
        ranges = a.ranges()
        if ranges and s.chance(0.6):
            advise(s, p, "COLLAPSE", s.rng.choice(ranges), PAGES, a.base)
        else:
            advise_some(s, p, "COLLAPSE")


# ---------------------------------------------------------------- processes and references

def fork(s, p):
    """A copy; then one of the two writes as many pages as keep the rest on the limit for shared ones, about."""
    c = s.fork(p)
    if not c:
        return
    a = some_area(s, c, shared=False)
    if a and a.ranges() and s.chance(0.8):
        writer = c if s.chance(0.6) else p
        was = writer.thp
        s.thp(writer, s.chance(0.3))
        for first in a.ranges()[:3]:
            if s.chance(0.7):
                s.touch(writer, a, "w", first, s.near(PAGES - s.settings["max_ptes_shared"]))
        s.thp(writer, was)


def leave(s, p):
    if not p.stays and not p.locked and len(s.alive()) > 1:
        p.alive = False
        s.emit(f"exit {p.name}")


def new_process(s, p):
    q = s.new_process()
    if q:
        for _ in range(s.rng.choice((1, 1, 2))):
            populated_area(s, q)


def toggle_thp(s, p):
    s.thp(p, not p.thp)


def clear_refs(s, p):
    s.emit(f"clear_refs {p.name}")


def pin(s, p):
    a = some_area(s, p)
    if a and not p.limit:
        page, pages = s.piece(a)
        pages = min(pages, s.rng.choice((1, 1, 3, 40)))
        if not p.armed_in(a, page, pages):
            p.pinned = True
            s.emit(f"pin {p.name} {place(page, a.base)} {length(pages)}")


def unpin(s, p):
    for q in s.alive():
        if q.pinned:
            q.pinned = False
            s.emit(f"unpin {q.name}")
            return


def busy(s, p):
    """mmap_lock of one process is held during some passes. Not of a parent: its `unlock` would wait for the children's end."""
    if p.locked or p.limit or s.passes > 30 or any(c.alive for c in p.children):
        return
    s.emit(f"lock {p.name}")
    p.locked = True
    s.wake(s.rng.randint(1, 3))
    others = [q for q in s.alive() if q is not p]
    if others and s.chance(0.4):
        touch_more(s, s.rng.choice(others))
        s.wake(1)
    p.locked = False
    s.emit(f"unlock {p.name}")


def limit(s, p):
    """A control group with room for a few huge pages. The limit only rises: below what is used it would kill."""
    for q in s.alive():
        if q.limit:
            q.limit += 2 * s.rng.randint(1, 4)
            s.emit(f"memcg {q.name} {q.limit}M")
            return
    if not p.pinned and not p.locked:
        p.limit = s.rng.choice((1, 1, 3, 5))
        s.emit(f"memcg {p.name} {p.limit}M")


def arm(s, p):
    """userfaultfd: arms, protects or disarms. Whether every page of the range is there decides what may be touched later."""
    r = s.rng
    if p.armed and r.random() < 0.6:
        g = r.choice(p.armed)
        if g.mode == "wp" and not g.protected and r.random() < 0.6:
            g.protected = True
            mode = "protect"
        else:
            p.armed.remove(g)
            mode = "off"
        s.emit(f"uffd {p.name} {place(g.page)} {length(g.pages)} {mode}")
        return
    areas = [a for a in p.areas if a.base == "1T" and a.ranges()]
    if not areas or not p.may_arm:
        return
    a = r.choice(areas)
    page, pages = (a.page, a.pages) if r.random() < 0.4 else (r.choice(a.ranges()), PAGES)
    if p.armed_in(a, page, pages):
        return
    whole = r.random() < 0.5
    if whole:
        s.emit(f"mprotect {p.name} {place(page)} {length(pages)} rw")
        s.touch(p, Area(page, pages), "w", page, pages)
        whole = s.lines[-1].startswith(f"touch {p.name} w {place(page)} {pages}")
    mode = r.choice(("missing", "missing", "wp"))
    s.emit(f"uffd {p.name} {place(page)} {length(pages)}" + (" wp" if mode == "wp" else ""))
    p.armed.append(Armed(page, pages, mode, whole))


# ---------------------------------------------------------------- settings

def setting(s, p=None):
    r = s.rng
    name = r.choice(s.profile.settings)
    if name in ("max_ptes_none", "max_ptes_swap", "max_ptes_shared"):
        s.knob(name, r.choice(LIMITS) if r.random() < 0.8 else r.randint(0, 511))
    elif name == "pages_to_scan":
        s.knob(name, budget(r))
    elif name == "enabled":
        s.knob(name, r.choice(("always", "madvise")))
    elif name == "shmem_enabled":
        s.knob(name, r.choice(("always", "always", "advise", "within_size", "never")))
    elif name == "thp_defrag":
        s.knob(name, r.choice(("always", "defer", "defer+madvise", "madvise", "never")))
    elif name in ("use_zero_page", "defrag"):
        s.knob(name, r.choice((0, 1)))


def wake(s, p=None):
    r = s.rng
    if s.chance(0.12) and s.passes < 25 and s.settings["pages_to_scan"] >= 512:
        s.passes += 8
        s.emit("until_full 1")
    else:
        small = s.settings["pages_to_scan"] <= 1024
        s.wake(r.choice((1, 1, 2, 3, 6)) if small else r.choice((1, 1, 1, 2, 3)))


def snapshot(s, p=None):
    if s.labels < 3:
        s.snap()


OPERATIONS = {
    "area": populated_area, "touch": touch_more, "refill": refill, "unmap": unmap, "over": map_over, "beside": map_beside,
    "protect": protect, "move": move, "mlock": lock_pages, "heap": heap, "stack": stack, "pageout": page_out, "punch": punch,
    "collapse": collapse, "fork": fork, "exit": leave, "proc": new_process, "thp": toggle_thp, "clear_refs": clear_refs,
    "pin": pin, "unpin": unpin, "busy": busy, "memcg": limit, "uffd": arm, "knob": setting, "wake": wake, "snap": snapshot,
}
for _advice in ("HUGEPAGE", "NOHUGEPAGE", "PAGEOUT", "COLD", "DONTNEED", "FREE", "WILLNEED", "POPULATE_READ", "POPULATE_WRITE"):
    OPERATIONS[_advice] = lambda s, p, advice=_advice: advise_some(s, p, advice)
