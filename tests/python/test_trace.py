"""Traces from NumPy arrays."""

import collapsar
import numpy as np

BASE = 0x7F0000000000
ONE_VARIANT = {"variants": {"plain": {"kernel.thp.enabled": "never"}}}


def test_records_come_back_as_they_went_in():
    random = np.random.default_rng(1)
    count = 1000
    columns = {
        "addresses": random.integers(0, 2**47, count, dtype=np.uint64),
        "kinds": random.integers(0, 6, count),
        "sizes": random.integers(1, 2**16, count),
        "instructions": random.integers(0, 2**32, count),
        "depends": random.integers(0, 2, count).astype(bool),
    }
    records = collapsar.trace_from_array(**columns).records
    assert records.shape == (count,)
    assert records.dtype.itemsize == 16
    fields = {"va": "addresses", "kind": "kinds", "size": "sizes", "instructions": "instructions"}
    for field, argument in fields.items():
        np.testing.assert_array_equal(records[field], columns[argument])
    np.testing.assert_array_equal(records["flags"] == 1, columns["depends"])


def test_one_value_stands_for_all():
    trace = collapsar.trace_from_array(range(BASE, BASE + 80, 8), kinds=collapsar.Kind.STORE, sizes=4)
    assert len(trace) == 10
    assert set(trace.records["kind"]) == {collapsar.Kind.STORE}
    assert set(trace.records["size"]) == {4}


def test_strided_and_foreign_arrays_are_taken_as_they_are():
    addresses = np.arange(BASE, BASE + 4096 * 20, 4096, dtype=">i8")[::2]
    np.testing.assert_array_equal(collapsar.trace_from_array(addresses).records["va"], addresses.astype(np.uint64))


def test_changing_the_copy_leaves_the_trace_alone():
    trace = collapsar.trace_from_array([BASE])
    trace.records["va"][0] = 0
    assert trace.records["va"][0] == BASE


def test_every_reference_is_replayed_and_counted_by_its_kind():
    kinds = np.arange(600) % 6
    trace = collapsar.trace_from_array(BASE + np.arange(600) * 64, kinds=kinds, name="six kinds")
    result = collapsar.run(ONE_VARIANT, trace=trace)
    stats = result.stats["plain"]
    assert stats["refs"] == 600
    assert stats["refs.fetch"] == 100
    assert stats["refs.kernel"] == 200
    assert stats["refs.outside_vma"] == 0
    assert result.trace["references"] == 600
    assert result.trace["name"] == "six kinds"
    assert any("VMAs inferred" in note for note in result.notes["trace"])


def test_the_default_config_has_the_default_variants():
    result = collapsar.run(trace=collapsar.trace_from_array(BASE + np.arange(1024) * 4096, kinds=collapsar.Kind.STORE))
    assert result.variants == ["never", "khugepaged", "always"]
    assert result.config["name"] == "array"
    assert result.stats["never"]["faults.minor"] == 1024
    assert result.stats["always"]["faults.huge"] == 2


def test_a_chase_takes_longer_than_independent_loads():
    # The second time, all pages are there: no fault hides the loads.
    config = {**ONE_VARIANT, "trace": {"repeat": 2, "warmup": 20000}}
    addresses = BASE + np.random.default_rng(2).integers(0, 2**28, 20000) // 8 * 8
    independent, chase = (collapsar.trace_from_array(addresses, depends=depends) for depends in (False, True))
    cycles = [collapsar.run(config, trace=trace).stats["plain"]["cycles"] for trace in (independent, chase)]
    assert cycles[1] > 2 * cycles[0]


def test_variants_side_by_side_replay_the_same_references():
    trace = collapsar.trace_from_array(BASE + np.random.default_rng(3).integers(0, 2**24, 50000))
    assert collapsar.run(trace=trace, jobs=1).json == collapsar.run(trace=trace, jobs=3).json
