"""Time series and ranges, as arrays and as DataFrames."""

import csv
import pickle

import collapsar
import numpy as np
import pandas as pd


def test_the_time_series_is_that_of_the_csv_file(small, tmp_path):
    result = collapsar.run(small, out=tmp_path)
    with open(tmp_path / "timeseries.csv", newline="") as file:
        header, *rows = csv.reader(file)
    frame = result.timeseries
    assert list(frame.columns) == header
    assert len(frame) == len(rows)
    for i, name in enumerate(header[1:], start=1):
        places = 6 if frame[name].dtype == np.float64 else 0
        assert [f"{value:.{places}f}" for value in frame[name]] == [row[i] for row in rows], name


def test_arrays_have_one_point_per_interval_and_one_at_the_end(small_result):
    series = small_result.timeseries_arrays()
    assert list(series) == small_result.variants
    for variant, columns in series.items():
        times = columns["time_ns"]
        assert times.dtype == np.int64
        assert {len(column) for column in columns.values()} == {len(times)}
        assert (np.diff(times) > 0).all()
        assert (times[:-1] % 5_000_000_000 == 0).all()
        assert times[-1] == small_result.stats[variant]["time_ns"]
        assert columns["refs"][-1] == small_result.stats[variant]["refs"]
        assert columns["memory.coverage"].dtype == np.float64
        assert columns["memory.coverage"][-1] == small_result.stats[variant]["memory.coverage"]


def test_the_frame_holds_the_arrays_one_below_the_other(small_result):
    frame = small_result.timeseries
    for variant, columns in small_result.timeseries_arrays().items():
        part = frame[frame["variant"] == variant]
        for name, column in columns.items():
            np.testing.assert_array_equal(part[name].to_numpy(), column)


def test_ranges_have_a_row_per_variant_and_range(small_result):
    frame = small_result.ranges
    always = frame[frame["variant"] == "always"]
    assert len(always) == 8
    assert always["is_huge"].all()
    assert set(always["huge_by"]) == {"fault"}
    never = frame[frame["variant"] == "never"]
    assert not never["is_huge"].any()
    assert set(never["huge_by"]) == {""}
    assert never["became_huge_ns"].isna().all()
    assert frame["mmu.walk_cycles"].dtype == pd.Int64Dtype()
    assert int(never["mmu.walks"].sum()) <= small_result.stats["never"]["mmu.walks"]


def test_a_result_can_be_pickled(small_result):
    copy = pickle.loads(pickle.dumps(small_result))
    assert copy.json == small_result.json
    assert copy.table() == small_result.table()
    assert copy.timeseries.equals(small_result.timeseries)


def test_a_result_shows_itself(small_result):
    assert repr(small_result) == "<collapsar.Result small: never, khugepaged, always>"
    assert small_result._repr_html_().startswith("<pre>")


def test_without_pandas_the_arrays_are_there(in_new_python):
    done = in_new_python(
        """
        import sys
        sys.modules["pandas"] = None
        import collapsar
        result = collapsar.run({"trace": {"synthetic": [{"pattern": "touch", "footprint": "1MiB"}]}})
        print(len(result.timeseries_arrays()))
        try:
            result.timeseries
        except ImportError as error:
            print(error)
        """
    )
    advice = "Result.timeseries is a DataFrame and needs pandas; Result.timeseries_arrays() does not"
    assert done.stdout.splitlines() == ["3", advice]
