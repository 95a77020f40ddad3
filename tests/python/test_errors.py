"""What is wrong with the user's input is said in the same words as by the program."""

import collapsar
import pytest
from conftest import SOURCE


def said(program, status, *arguments):
    done = program("run", *arguments, "--quiet")
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    return done.stderr.removeprefix("collapsar: ").removesuffix("\n")


@pytest.mark.parametrize(
    "text",
    [
        "mmu: {walker: 2}",
        "cpu: {frequency: 3}",
        "memory:\n  size: 1GiB\n  size: 2GiB",
        "trace: {file: missing.ctr}",
        "baseline: nobody",
        "cpu: [",
        "base: machines/nowhere.yaml",
    ],
)
def test_a_wrong_config_is_a_value_error_with_the_programs_text(program, tmp_path, text):
    path = tmp_path / "wrong.yaml"
    path.write_text(text + "\n")
    with pytest.raises(ValueError) as raised:
        collapsar.run(path)
    assert str(raised.value) == said(program, 2, path)


@pytest.mark.parametrize("assignment", ["mmu.walker=2", "cpu.count", "kernel.thp.enabled=maybe", "cpu.frequency=[1]"])
def test_a_wrong_set_is_a_value_error_with_the_programs_text(program, small, assignment):
    with pytest.raises(ValueError) as raised:
        collapsar.run(small, set=[assignment])
    assert str(raised.value) == said(program, 2, small, "--set", assignment)


def test_an_unknown_variant_is_a_value_error_with_the_programs_text(program, small):
    with pytest.raises(ValueError) as raised:
        collapsar.run(small, variants=["nevr"])
    assert str(raised.value) == said(program, 2, small, "--variant", "nevr")


def test_a_missing_file_is_a_value_error_with_the_programs_text(program, tmp_path):
    for name in ("missing.yaml", "missing.ctr"):
        with pytest.raises(ValueError) as raised:
            collapsar.run(tmp_path / name)
        assert str(raised.value) == said(program, 2, tmp_path / name)


def test_a_truncated_trace_is_a_value_error_with_the_programs_text(program, tmp_path):
    whole = (SOURCE / "traces" / "quickstart.ctr").read_bytes()
    path = tmp_path / "cut.ctr"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError) as raised:
        collapsar.run(path)
    assert str(raised.value) == said(program, 2, path)


def test_out_of_simulated_memory_is_a_runtime_error_with_the_programs_text(program, small):
    sets = ["memory.size=8MiB", "swap.device=none"]
    with pytest.raises(RuntimeError) as raised:
        collapsar.run(small, set=sets)
    assert str(raised.value) == said(program, 1, small, *(word for text in sets for word in ("--set", text)))


def test_an_address_beyond_user_space_is_a_value_error_with_its_record():
    trace = collapsar.trace_from_array([0x1000, 0x8000_0000_0000])
    with pytest.raises(ValueError, match="record 1: address 0x800000000000 is beyond user space"):
        collapsar.run({}, trace=trace)


def test_an_error_in_a_dict_names_the_path_of_the_key():
    with pytest.raises(ValueError) as raised:
        collapsar.run({"cpu": {"count": 1, "frequenzy": "2GHz"}})
    assert str(raised.value).startswith("config: cpu.frequenzy: unknown key")


def test_what_no_config_can_hold_is_a_type_error():
    with pytest.raises(TypeError, match="no set"):
        collapsar.run({"cpu": {"count": {1}}})
    with pytest.raises(TypeError, match="a key"):
        collapsar.run({1: 2})


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda sim: collapsar.run(5), "config: found 5; a path, a list of trace files or a dict is right"),
        (lambda sim: collapsar.run(["a.ctr", 5]), "config: found 5; a path, a list of trace files or a dict is right"),
        (lambda sim: collapsar.run({}, set=5), 'set: found 5; a dict, or a list of texts "key=value", is right'),
        (lambda sim: collapsar.run({}, variants=[5]), "variants: found 5; a name, a list of names or a dict"),
        (lambda sim: collapsar.run({}, jobs="two"), "jobs: found 'two'; a whole number is right"),
        (lambda sim: collapsar.run({}, why="0x1000"), "why: found '0x1000'; a whole number, or a list of them, is right"),
        (lambda sim: collapsar.run({}, out=5), "out: found 5; a path is right"),
        (lambda sim: collapsar.sweep({}, over=["cpu.count"]), r"over: found \['cpu.count'\]; a dict of key -> values is right"),
        (lambda sim: collapsar.sweep({}, jobs="two"), "jobs: found 'two'; a whole number is right"),
        (lambda sim: collapsar.sweep({}, variants=[5]), "variants: found 5; a name, a list of names or a dict"),
        (lambda sim: collapsar.compare({"a": 5}), r"results: found 5; what run\(\) returns is right"),
        (lambda sim: collapsar.compare([], paths=5), "paths: found 5; a list of paths is right"),
        (lambda sim: collapsar.compare(5), "results: found 5; a list of results, or a dict"),
        (lambda sim: collapsar.compare([5]), r"results: found 5; what run\(\) returns is right"),
        (lambda sim: collapsar.Simulation({}, variant=5), "variant: found 5; a name is right"),
        (lambda sim: sim.run_until(None), "time: found None; a whole number is right"),
        (lambda sim: sim.run_until(1.5), "time: found 1.5; a whole number is right"),
        (lambda sim: sim.page_table("1"), "pid: found '1'; a whole number is right"),
        (lambda sim: sim.page_table(1, end="x"), "end: found 'x'; a whole number is right"),
        (lambda sim: sim.vmas(None), "pid: found None; a whole number is right"),
        (lambda sim: sim.tlb([0]), r"cpu: found \[0\]; a whole number is right"),
        (lambda sim: sim.write_sysfs(5, 1), "file: found 5; the name of a file is right"),
    ],
)
def test_an_argument_of_a_wrong_type_is_a_type_error_with_its_name(small, call, text):
    with pytest.raises(TypeError, match=text):
        call(collapsar.Simulation(small))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"addresses": []}, "addresses: an empty array; a trace has at least one reference"),
        ({"addresses": [[1, 2]]}, r"addresses: shape \(1, 2\); one dimension is right"),
        ({"addresses": [1.5]}, "addresses: elements of type float64; whole numbers are right"),
        ({"addresses": [-1]}, "addresses: found -1 at index 0; 0 to 72057594037927935 is right"),
        ({"addresses": [2**63]}, "addresses: found 9223372036854775808 at index 0; 0 to 72057594037927935 is right"),
        ({"addresses": [1, 2], "kinds": [1, 6]}, "kinds: found 6 at index 1; 0 to 5 is right"),
        ({"addresses": [1, 2], "sizes": 0}, "sizes: found 0 at index 0; 1 to 65535 is right"),
        ({"addresses": [1, 2], "sizes": [8, 65536]}, "sizes: found 65536 at index 1; 1 to 65535 is right"),
        ({"addresses": [1, 2], "depends": [True]}, r"depends: shape \(1,\); \(2,\), like the addresses, or one value"),
    ],
)
def test_wrong_arrays_are_refused_with_what_would_be_right(arguments, text):
    with pytest.raises(ValueError, match=text):
        collapsar.trace_from_array(**arguments)


def test_a_trace_that_is_none_and_a_config_that_is_missing_are_value_errors():
    with pytest.raises(ValueError, match="trace: found 'app.ctr'; what trace_from_array"):
        collapsar.run({}, trace="app.ctr")
    with pytest.raises(ValueError, match="config: None, and no trace"):
        collapsar.run()
    with pytest.raises(ValueError, match="over: seed: found 5; a list of values is right"):
        collapsar.sweep({}, {"seed": 5})


def test_compare_refuses_what_no_result_has(small_result):
    with pytest.raises(ValueError, match="paths: mmu.wolks: no result has it; did you mean mmu.walks"):
        collapsar.compare([small_result], ["mmu.wolks"])
    with pytest.raises(ValueError, match="a list of paths is right"):
        collapsar.compare([small_result], "mmu.walks")
