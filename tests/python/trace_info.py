"""What `collapsar trace info` says of a trace, and of its data alone."""

import pathlib
import re
import subprocess
import tempfile


def info(program, trace):
    done = program("trace", "info", trace)
    assert done.returncode == 0, done.stderr
    return done.stdout


def footprint(text):
    return int(re.search(r"footprint ([\d,]+) pages", text)[1].replace(",", ""))


def data_footprint(program, trace):
    """Pages of the trace without its fetches."""
    with tempfile.TemporaryDirectory() as folder:
        whole, data = pathlib.Path(folder, "whole.txt"), pathlib.Path(folder, "data.txt")
        done = program("trace", "convert", trace, whole)
        assert done.returncode == 0, done.stderr
        with open(data, "wb") as left:
            subprocess.run(["grep", "-v", "^f ", whole], stdout=left, check=True)
        return footprint(info(program, data))
