"""Plots show the numbers of the result; results compare; the example runs."""

import os
import subprocess
import sys

import collapsar
import numpy as np
import pytest
from conftest import PACKAGE, SOURCE

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
pyplot = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def _close():
    yield
    pyplot.close("all")


def lines_of(ax):
    return {line.get_label(): line for line in ax.get_lines()}


def test_coverage_is_that_of_the_time_series(small_result):
    lines = lines_of(small_result.plot_coverage())
    assert list(lines) == small_result.variants
    for variant, columns in small_result.timeseries_arrays().items():
        np.testing.assert_allclose(lines[variant].get_xdata(), columns["time_ns"] / 1e9)
        np.testing.assert_allclose(lines[variant].get_ydata(), columns["memory.coverage"] * 100)


def test_misses_are_per_thousand_references_of_each_interval(small_result):
    lines = lines_of(small_result.plot_misses())
    columns = small_result.timeseries_arrays()["never"]
    drawn = lines["never"].get_ydata()
    refs, misses = np.diff(columns["refs"]), np.diff(columns["mmu.l2.misses"])
    np.testing.assert_allclose(drawn, misses[refs > 0] / refs[refs > 0] * 1000)
    assert drawn.sum() > 0


def test_every_plot_draws_on_the_axes_it_is_given(small_result):
    _, ax = matplotlib.pyplot.subplots()
    for draw in (small_result.plot_rss, small_result.plot_khugepaged, small_result.plot_coverage, small_result.plot_misses):
        assert draw(ax=ax) is ax
    assert small_result.plot_timeseries("refs", ax) is ax
    assert small_result.plot_ranges("khugepaged", ax) is ax
    assert small_result.plot_stalls(ax=ax) is ax
    ax.figure.canvas.draw()


def test_the_map_has_a_line_per_range(small_result):
    ax = small_result.plot_ranges("khugepaged")
    drawn = sum(len(lines.get_segments()) for lines in ax.collections)
    assert drawn == (small_result.ranges["variant"] == "khugepaged").sum()


def test_what_is_not_there_is_refused_with_what_is(small_result):
    with pytest.raises(ValueError, match="column: nothing; the time series has time_ns, refs"):
        small_result.plot_timeseries("nothing")
    with pytest.raises(ValueError, match="variant: nobody; choose one of never"):
        small_result.plot_ranges("nobody")
    with pytest.raises(ValueError, match="path: refs; choose a histogram: "):
        small_result.plot_stalls("refs")


def test_results_compare(small_result):
    frame = collapsar.compare([small_result, small_result])
    assert list(frame.index.get_level_values("result").unique()) == ["small", "small 2"]
    assert frame.loc[("small", "never"), "mmu.walks"] == small_result.stats["never"]["mmu.walks"]
    assert frame.loc["small"].equals(frame.loc["small 2"])
    with pytest.raises(ValueError, match="results: none"):
        collapsar.compare([])


def test_a_result_shows_itself_in_a_notebook(small_result):
    assert "page walks" in small_result._repr_html_()


def test_the_example_runs(tmp_path):
    environment = dict(os.environ, PYTHONPATH=str(PACKAGE.parent), PYTHONDONTWRITEBYTECODE="1", MPLBACKEND="Agg")
    example = SOURCE / "python" / "examples" / "first_look.py"
    done = subprocess.run([sys.executable, example], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "16 huge pages at 6.0 s" in done.stdout
