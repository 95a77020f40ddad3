# %% [markdown]
# # A first look at collapsar
#
# Each `# %%` begins a cell: open the file as a notebook in VS Code, Spyder or (with Jupytext) Jupyter, or run it whole with
#
#     PYTHONPATH=build/release/python MPLBACKEND=Agg python3 python/examples/first_look.py
#
# A test runs it, so that it stays true.

# %%
import collapsar

# 32 MiB that a program writes once and then reads at random, with a pause in which khugepaged works.
MEMORY = "32MiB"
config = {
    "name": "first-look",
    "trace": {
        "synthetic": [
            {"pattern": "touch", "footprint": MEMORY, "write": True},
            {"pattern": "random", "footprint": MEMORY, "references": "50k"},
            {"pattern": "idle", "time": "25s"},
            {"pattern": "random", "footprint": MEMORY, "references": "50k"},
        ]
    },
    "memory.size": "1GiB",
    "output.interval": "1s",
}
result = collapsar.run(config)
print(result.table())

# %% [markdown]
# ## Numbers
#
# `stats` has every number of the report under its path; the time series and the 2 MiB ranges are DataFrames.

# %%
walks = {variant: stats["mmu.walks"] for variant, stats in result.stats.items()}
print(walks)
print(result.timeseries.groupby("variant")["memory.coverage"].last())
print(result.ranges.query("variant == 'khugepaged'")[["base", "is_huge", "huge_by", "first_huge_ns"]].head())

# %% [markdown]
# ## Plots

# %%
result.plot_coverage()
result.plot_misses()
result.plot_ranges("khugepaged")

# %% [markdown]
# ## Another kernel, side by side

# %%
older = collapsar.run(config, set={"kernel.version": "6.1"})
print(collapsar.compare({"6.1": older, "6.12": result}, ["mmu.walks", "memory.coverage", "khugepaged.cpu_ns"]))

# %% [markdown]
# ## A sweep
#
# With `client=dask.distributed.Client(...)` the points run on a cluster; with `out=DIR` finished points are kept.

# %%
sweep = collapsar.sweep(config, {"kernel.khugepaged.pages_to_scan": [512, 4096, 32768]}, variants=["never", "khugepaged"])
print(sweep.table())

# %% [markdown]
# ## Step by step
#
# Half of the pause with the default sleep of 10 s, then a knob is turned, as a write to sysfs would.

# %%
sim = collapsar.Simulation(config, variant="khugepaged")
sim.run_until("5s")
print(sim, sim.processes())
sim.write_sysfs("khugepaged/scan_sleep_millisecs", 100)
sim.run_until("6s")
table = sim.page_table(sim.processes()[0]["pid"])
print((table["bytes"] == 2**21).sum(), "huge pages at", sim.time / 1e9, "s")
sim.run()
faster = sim.result()
print(faster.notes["trace"])
assert faster.stats["khugepaged"]["memory.coverage"] >= result.stats["khugepaged"]["memory.coverage"]
