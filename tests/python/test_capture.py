"""`collapsar capture` on a small program; needs Debian 12's Valgrind, and gcc. The footprint against that of Valgrind's lackey."""

import os
import re
import shutil
import signal
import subprocess
import textwrap
import time

import pytest

PAGES = 3000  # touched by the program below, of 4 KiB

PROGRAM = f"""
    #include <pthread.h>
    #include <stdio.h>
    #include <string.h>
    #include <sys/mman.h>
    #include <sys/wait.h>
    #include <unistd.h>
    static char *area;
    static void *touch(void *unused) {{
      for (int i = 0; i < {PAGES}; ++i) area[4096L * i] = 1;
      usleep(100000);  // whoever joins waits in the kernel, and is written to there after this thread has gone
      return unused;
    }}
    int main(int argc, char **argv) {{
      area = mmap(0, 4096L * {PAGES}, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      pthread_t thread;
      if (pthread_create(&thread, 0, touch, 0)) return 1;
      pthread_join(thread, 0);
      if (argc > 1) {{
        if (fork() == 0) {{
          memset(area, 2, 4096L * 100);
          execl("/bin/true", "true", (char *)0);
        }}
        wait(0);
      }}
      puts("done");
      return 0;
    }}
"""


def valgrind_version():
    if not (shutil.which("valgrind") and shutil.which("gcc")):
        return ""
    return subprocess.run(["valgrind", "--version"], capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def touching(tmp_path_factory):
    assert valgrind_version().startswith("valgrind-3.19."), "as root: apt-get install valgrind gcc libc6-dev"
    folder = tmp_path_factory.mktemp("touching")
    (folder / "touching.c").write_text(textwrap.dedent(PROGRAM))
    subprocess.run(["gcc", "-O1", "-pthread", "-o", folder / "touching", folder / "touching.c"], check=True)
    return folder / "touching"


@pytest.fixture(scope="module")
def capture(program, tmp_path_factory):
    """Captures with a cache of its own; gives the trace and what was printed beside it."""
    folder = tmp_path_factory.mktemp("capture")
    old = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")

    def call(*arguments):
        trace = folder / f"{len(list(folder.iterdir()))}.ctr"
        done = program("capture", "--out", trace, *arguments)
        assert done.returncode == 0, done.stderr
        assert not list(folder.glob("*.tmp"))
        return trace, done

    yield call
    if old is None:
        del os.environ["XDG_CACHE_HOME"]
    else:
        os.environ["XDG_CACHE_HOME"] = old


def info(program, trace):
    done = program("trace", "info", trace)
    assert done.returncode == 0, done.stderr
    return done.stdout


def footprint(text):
    return int(re.search(r"footprint ([\d,]+) pages", text)[1].replace(",", ""))


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


def test_the_footprint_is_that_of_lackey(program, capture, touching, tmp_path):
    trace, _ = capture("--", touching)
    log = tmp_path / "lackey.txt"
    subprocess.run(
        ["valgrind", "--tool=lackey", "--trace-mem=yes", f"--log-file={log}", touching], check=True, capture_output=True
    )
    ours, lackeys = footprint(info(program, trace)), footprint(info(program, log))
    assert abs(ours - lackeys) <= 0.02 * lackeys


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
