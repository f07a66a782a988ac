"""Stand-ins for the parts of `benchmarks/gpu.py`, for processes that need no GPU.

They import nothing that takes long, since each of them is run in a new process.
"""

import json
import os
import time


def ends_well():
    print("printed elsewhere")
    yield "first"
    yield "last"


def fails():
    yield "before"
    raise ValueError("an illegal address")


def dies():
    yield "before"
    os._exit(7)


def hangs():
    yield "before"
    time.sleep(600)


def finds_nothing():
    raise ValueError("no such peer")
    yield


def measure(row, wanted, rates, seconds, before):
    """A work that dies, one that fails on its way, and others that do not."""
    if row.workload.features == 784 and row.workload.hidden == (256,):
        os._exit(7)
    result = {"step_us": 2.0, "by_round": [2.0], "first_fit_over_steady": 1.0}
    yield {
        "name": row.workload.name,
        "dtype": row.dtype,
        "times": {"skmlp": result, "sklearn": result},
        "operations": 1.0,
        "ratios": {"sklearn": 3.0},
        "goals": {"sklearn": 2.0},
        "known": sorted(before),
    }
    if row.workload.features == 54:
        raise ValueError("a capture failed")


def whole_fit(wanted, seconds):
    """What the files held when the last part began."""
    with open(wanted.json, encoding="utf-8") as json_file:
        saved = json.load(json_file)
    with open(wanted.results, encoding="utf-8") as results_file:
        yield {"saved": saved, "section": results_file.read()}
