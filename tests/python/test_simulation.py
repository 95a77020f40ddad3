"""Stepping: the steps change nothing, and what is seen between them is what the kernel has."""

import collapsar
import numpy as np
import pytest

CONFIG = {
    "trace": {
        "synthetic": [
            {"pattern": "touch", "footprint": "16MiB", "write": True},
            {"pattern": "idle", "time": "25s"},
            {"pattern": "random", "footprint": "16MiB", "references": "20k"},
        ]
    },
    "memory.size": "1GiB",
    "output.interval": "5s",
}


@pytest.fixture
def simulation():
    return collapsar.Simulation(CONFIG, variant="khugepaged")


@pytest.mark.parametrize("variant", ["never", "khugepaged", "always"])
def test_steps_do_not_change_the_result(variant):
    whole = collapsar.run(CONFIG, variants=[variant])
    sim = collapsar.Simulation(CONFIG, variant=variant)
    time = 0
    while not sim.run_until(time):
        time += 777_777_777
    stepped = sim.result()
    assert stepped.json == whole.json
    assert stepped.timeseries.equals(whole.timeseries)
    assert stepped.table() == whole.table()


def test_the_clock_stands_where_it_was_told_to(simulation):
    assert simulation.run_until("1.5s") is False
    assert simulation.time == 1_500_000_000
    with pytest.raises(ValueError, match="time: 1000000000 ns has passed"):
        simulation.run_until("1s")
    simulation.run()
    assert simulation.ended
    assert simulation.time > 25_000_000_000
    assert simulation.run_until(10**15) is True


def test_the_page_table_agrees_with_the_counters(simulation):
    simulation.run_until("1s")
    (process,) = [p for p in simulation.processes() if p["alive"]]
    table = simulation.page_table(process["pid"])
    assert table["bytes"].sum() == process["rss_bytes"] == 16 * 2**20
    assert len(np.unique(table["frame"])) == len(table["frame"])
    huge = table["bytes"] == 2**21
    assert huge.sum() * 2**21 == process["anon_huge_bytes"] == simulation.stats()["memory.anon_huge_bytes"]
    assert table["writable"].all()
    part = simulation.page_table(process["pid"], int(table["address"][0]), int(table["address"][0]) + 1)
    assert list(part["address"]) == [table["address"][0]]


def test_the_vmas_hold_every_page(simulation):
    simulation.run_until("1s")
    pid = simulation.processes()[0]["pid"]
    vmas, table = simulation.vmas(pid), simulation.page_table(pid)
    (main,) = vmas[vmas["mapping"] == "main"].itertuples()
    assert main.rights == "rw-p"
    assert main.is_anonymous
    assert ((table["address"] >= main.start) & (table["address"] + table["bytes"] <= main.end)).all()


def test_the_tlb_agrees_with_the_page_table(simulation):
    simulation.run_until("1s")
    pid = simulation.processes()[0]["pid"]
    table = dict(zip(simulation.page_table(pid)["address"], simulation.page_table(pid)["frame"]))
    tlb = simulation.tlb()
    assert set(tlb["level"]) >= {"l1d", "l2"}
    assert (tlb["pid"] == pid).all()
    small = tlb["bytes"] == 4096
    assert small.any()
    for address, frame in zip(tlb["address"][small], tlb["frame"][small]):
        assert table[address] == frame


def test_a_knob_counts_from_the_moment_it_is_written():
    slow, fast = (collapsar.Simulation(CONFIG, variant="khugepaged", set={"kernel.khugepaged.pages_to_scan": 512}) for _ in "12")
    for sim in (slow, fast):
        sim.run_until("1s")  # awake at 0 s only, before there was memory
    fast.write_sysfs("khugepaged/scan_sleep_millisecs", 100)
    for sim in (slow, fast):
        sim.run_until("3s")
    assert fast.processes()[0]["anon_huge_bytes"] == 16 * 2**20
    assert slow.processes()[0]["anon_huge_bytes"] == 0, "sleeps until 10 s"
    fast.run()
    assert "khugepaged/scan_sleep_millisecs set to 100 at 1 s" in fast.result().notes["trace"]


@pytest.mark.parametrize(
    ("file", "value", "text"),
    [
        ("khugepaged/max_ptes_none", 512, "khugepaged/max_ptes_none: the kernel refuses 512"),
        ("khugepaged/max_ptes_nnoe", 1, "khugepaged/max_ptes_nnoe: no such file"),
        ("enabled", "sometimes", "enabled: the kernel refuses sometimes"),
    ],
)
def test_what_the_kernel_refuses_is_a_value_error(simulation, file, value, text):
    with pytest.raises(ValueError, match=text):
        simulation.write_sysfs(file, value)


def test_wrong_questions_are_refused(simulation):
    with pytest.raises(ValueError, match="pid: 77; there is no such process"):
        simulation.vmas(77)
    with pytest.raises(ValueError, match="cpu: 9; there are 1"):
        simulation.tlb(9)
    with pytest.raises(RuntimeError, match="the trace has not ended"):
        simulation.result()
    with pytest.raises(ValueError, match="unknown variant"):
        collapsar.Simulation(CONFIG, variant="nevr")
    simulation.run()
    simulation.result()
    with pytest.raises(RuntimeError, match="has ended the simulation"):
        simulation.run_until("100s")
