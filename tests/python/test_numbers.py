"""Python's numbers are the program's, byte for byte."""

import json

import collapsar
import pytest
from conftest import SOURCE


def printed(program, *arguments):
    done = program("run", *arguments, "--quiet")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_json_is_what_the_program_prints(program, small):
    assert collapsar.run(small).json == printed(program, small, "--json")


def test_table_is_what_the_program_prints(program, small):
    assert collapsar.run(small).table() == printed(program, small)


def test_sets_and_variants_mean_what_the_options_mean(program, small):
    sets = {"kernel.khugepaged.max_ptes_none": 0, "cpu.frequency": "2GHz"}
    result = collapsar.run(small, set=sets, variants=["khugepaged"])
    options = ["--set", "kernel.khugepaged.max_ptes_none=0", "--set", "cpu.frequency=2GHz", "--variant", "khugepaged"]
    assert result.json == printed(program, small, "--json", *options)
    assert result.variants == ["khugepaged"]


def test_a_list_of_sets_is_the_same_as_a_dict(small):
    as_dict = collapsar.run(small, set={"cpu.count": 2, "caches": None}, variants="never")
    as_list = collapsar.run(small, set=["cpu.count=2", "caches=none"], variants="never")
    assert as_dict.json == as_list.json


def test_a_dict_is_the_same_as_its_yaml(program, tmp_path):
    config = {
        "name": "touch: twice",
        "trace": {"synthetic": [{"pattern": "touch", "footprint": "4MiB", "write": True}], "repeat": 2},
        "mmu.l1d": [{"pages": ["4K"], "sets": 16, "ways": 4}, {"pages": ["2M"], "sets": 8, "ways": 4}],
        "caches": None,
        "seed": 7,
        "variants": {"plain": {}, "half": {"kernel.khugepaged.max_ptes_none": 255}},
    }
    path = tmp_path / "same.yaml"
    path.write_text(
        """
        name: "touch: twice"
        trace: {synthetic: [{pattern: touch, footprint: 4MiB, write: true}], repeat: 2}
        mmu.l1d: [{pages: [4K], sets: 16, ways: 4}, {pages: [2M], sets: 8, ways: 4}]
        caches: none
        seed: 7
        variants: {plain: {}, half: {kernel.khugepaged.max_ptes_none: 255}}
        """
    )
    assert collapsar.run(config).json == printed(program, path, "--json")


def test_a_trace_file_runs_on_the_default_machine(program):
    trace = SOURCE / "traces" / "quickstart.ctr"
    limit = {"trace.limit": 20000}
    result = collapsar.run(trace, set=limit)
    assert result.json == printed(program, trace, "--json", "--set", "trace.limit=20000")
    assert result.variants == ["never", "khugepaged", "always"]
    assert result.json == collapsar.run([trace], set=limit).json


def test_the_report_directory_is_that_of_the_program(program, small, tmp_path):
    result = collapsar.run(small, out=tmp_path / "python")
    printed(program, small, "--out", tmp_path / "program")
    names = sorted(file.name for file in (tmp_path / "program").iterdir())
    assert names == sorted(file.name for file in (tmp_path / "python").iterdir())
    for name in names:
        assert (tmp_path / "python" / name).read_bytes() == (tmp_path / "program" / name).read_bytes(), name
    assert (tmp_path / "python" / "ranges.csv").read_text() == result.ranges_csv


def test_why_is_that_of_the_program(program, small, small_result):
    address = int(small_result.ranges["base"][0], 16)
    result = collapsar.run(small, why=address)
    assert result.json == printed(program, small, "--json", "--why", hex(address))
    assert list(result.why) == [hex(address)]


@pytest.mark.parametrize("option", [{"jobs": 1}, {"jobs": 3}, {"check": True}, {"one_event_per_step": True}])
def test_no_way_of_running_changes_the_numbers(small, small_result, option):
    assert collapsar.run(small, **option).json == small_result.json


def test_stats_hold_what_the_json_holds(small_result):
    content = json.loads(small_result.json)
    assert small_result.stats == content["variants"]
    assert small_result.variants == ["never", "khugepaged", "always"]
    assert small_result.baseline == content["baseline"] == "never"
    assert small_result.config["memory"]["size"] == "1GiB"
    assert small_result.notes["honest_time"]["never"]["khugepaged_wakeups"] == 0
    stats = small_result.stats["always"]
    assert isinstance(stats["refs"], int)
    assert stats["refs"] == 16 * 256 + 40000
    assert isinstance(stats["memory.coverage"], float)
    assert stats["faults.stall_ns"]["count"] > 0


def test_variants_may_be_given_as_a_dict(small):
    result = collapsar.run(small, variants={"tiny": {"kernel.khugepaged": {"pages_to_scan": 512}}, "plain": {}})
    assert result.variants == ["tiny", "plain"]
    assert result.config["variants"]["tiny"]["kernel"]["khugepaged"]["pages_to_scan"] == 512


def test_installed_machines_are_found(small_result):
    synthetic = [{"pattern": "touch", "footprint": "1MiB"}]
    result = collapsar.run({"base": "machines/zen2.yaml", "trace": {"synthetic": synthetic}}, variants="never")
    assert result.config["mmu"] != small_result.config["mmu"]
