"""`collapsar capture` on a small program; needs Debian 12's Valgrind, and gcc."""

import os
import re
import shutil
import signal
import subprocess
import time

from trace_info import footprint, info

PAGES = 3000  # touched by touching.c, of 4 KiB


def test_a_program_with_a_thread_and_a_child_that_executes_another(program, capture, touching):
    trace, done = capture("--children", "--", touching, "fork")
    assert done.stdout == "done\n"
    assert re.search(r"self-check: 0 of [\d,]+ references outside a VMA .* 3 threads, 2 processes", done.stderr), done.stderr
    text = info(program, trace)
    for line in (r"fork +1", r"exec +1", r"exit +2", r"thread +1", r"complete +yes", r"mappings +recorded"):
        assert re.search(line, text), text
    assert footprint(text) > PAGES
    done = program("run", trace, "--variant", "never", "--check")
    assert done.returncode == 0, done.stderr


def test_without_children_a_fork_is_told_but_not_followed(program, capture, touching):
    trace, done = capture("--", touching, "fork")
    assert "1 process\n" in done.stderr
    text = info(program, trace)
    assert re.search(r"fork +1", text) and not re.search(r"^ +exec ", text, re.MULTILINE)


def test_a_window_knows_what_was_touched_before_it(program, capture, touching, tmp_path):
    whole, _ = capture("--", touching)
    all_references = int(re.search(r"references +([\d,]+)", info(program, whole))[1].replace(",", ""))
    window, done = capture("--skip", all_references - 1000, "--", touching)
    left = int(re.search(r"([\d,]+) references after", done.stderr)[1].replace(",", ""))
    assert 0 < left < 1900  # about: runs differ a little; the last 2,000 follow the last touch
    text = tmp_path / "window.txt"
    assert program("trace", "convert", window, text).returncode == 0
    resident = sum(
        int(size, 0) // 4096 for size in re.findall(r"^resident \d+ \S+ (\S+)$", text.read_text(), re.MULTILINE)
    )
    assert resident > PAGES  # the touched area, by far the most


def test_large_mappings_begin_at_2_mib_if_asked(program, capture, tmp_path):
    source = tmp_path / "large.c"
    source.write_text("#include <sys/mman.h>\nint main(void) { return mmap(0, 8L << 20, 3, 0x22, -1, 0) == MAP_FAILED; }")
    subprocess.run(["gcc", "-o", tmp_path / "large", source], check=True)
    trace, _ = capture("--thp-align", "--ifetch", "none", "--", tmp_path / "large")
    text = tmp_path / "large.txt"
    assert program("trace", "convert", trace, text).returncode == 0
    (address,) = re.findall(r"^mmap address=(\S+) length=(?:0x800000|8388608) ", text.read_text(), re.MULTILINE)
    assert int(address, 0) % (2 << 20) == 0


def test_the_end_of_a_command_and_mistakes_are_told(program, capture):
    _, done = capture("--", "sh", "-c", "exit 3")
    assert "the command left with status 3" in done.stderr
    for arguments, what in (
        (("--out", "a.ctr"), "no command"),
        (("--ifetch", "some", "--", "ls"), "none, page, block or insn is right"),
        (("--out", "a.txt", "--", "ls"), "its name ends in .ctr"),
    ):
        done = program("capture", *arguments)
        assert done.returncode == 2 and what in done.stderr


def test_missing_packages_are_named_with_the_line_that_installs_them(program, tmp_path, monkeypatch):
    for name in ("sh", "true"):
        (tmp_path / name).symlink_to(shutil.which(name))
    monkeypatch.setenv("PATH", str(tmp_path))
    done = program("capture", "--", "true")
    assert done.returncode == 2
    assert done.stderr == "collapsar: capture: valgrind is missing; as root: apt install valgrind gcc libc6-dev\n"


def test_an_interrupt_ends_the_program_and_the_trace_is_whole(program, capture, tmp_path):
    trace = tmp_path / "loop.ctr"
    running = subprocess.Popen(
        [os.environ["COLLAPSAR_PROGRAM"], "capture", "--out", trace, "--", "/usr/bin/python3", "-c", "while True: pass"],
        start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    time.sleep(5)
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does
    said, _ = running.communicate(timeout=120)
    assert running.returncode == 0, said
    assert "self-check: 0 of" in said
    assert re.search(r"complete +yes", info(program, trace))
