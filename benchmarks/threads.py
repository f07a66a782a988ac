"""One thread against all, on a quiet machine and beside a neighbor.

More threads make a step faster only if it is long enough, and if all of them have a
core. skmlp chooses their number from the work in a step. This shows whether it chooses
well: an epoch with all threads must not take more than 5 % longer than with one, from
the smallest network to the largest, neither alone nor while another process keeps one
core busy. And the number of threads must not show in the numbers: the weights of all
layers have the same bits.

One thread and all take turns in every round. The neighbor is a new process that
counts; a machine that is not quiet has more of them, and its figures for "alone"
mean nothing.
"""

import contextlib
import subprocess
import sys

import joblib
import peers
import reporting
import timing
import workloads

# One thread's time over that of all: above 1, more threads are faster.
_GOAL = 0.95
_WORKLOADS = tuple(workloads.GRID[number] for number in (1, 2, 0, 5, 8, 11, 13, 14))
_BITS_EPOCHS = 2
_BUSY = "while True: pass"


@contextlib.contextmanager
def neighbor():
    """A process that keeps a core busy, for the time of the block."""
    process = subprocess.Popen([sys.executable, "-c", _BUSY])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def same_bits(both):
    """Whether two peers come to the same weights, bit by bit."""
    one, all_threads = (peer.train(_BITS_EPOCHS) for peer in both.values())
    pairs = zip(
        one.coefs_ + one.intercepts_,
        all_threads.coefs_ + all_threads.intercepts_,
        strict=True,
    )
    return all(a.tobytes() == b.tobytes() for a, b in pairs)


def measure(workload, dtype, wanted):
    """Times of one workload, alone and beside a neighbor.

    Returns
    -------
    dict
    """
    data = workloads.data(workload, dtype)
    numbers = {"one": 1, "all": wanted.threads}
    both = {name: peers.Skmlp(workload, *data, n) for name, n in numbers.items()}
    surroundings = {"alone": contextlib.nullcontext, "neighbor": neighbor}
    entry = {"name": workload.name, "dtype": dtype, "same_bits": same_bits(both)}
    for name, surrounding in surroundings.items():
        with surrounding():
            times = timing.results_in_turns(both, workload.epochs, wanted.rounds)
        gain = times["one"]["epoch"] / times["all"]["epoch"]
        entry[name] = {"times": times, "gain": gain}
    return entry


def line(entry):
    """One line of the table; times in milliseconds an epoch."""
    columns = [f"{entry['name']:<39}"]
    for name in ("alone", "neighbor"):
        one, every = (1e3 * t["epoch"] for t in entry[name]["times"].values())
        columns.append(f"{one:>10.2f}{every:>9.2f}{entry[name]['gain']:>6.2f}x")
    worst = min(entry[name]["gain"] for name in ("alone", "neighbor"))
    columns.append(f"  {'met' if worst >= _GOAL else 'MISSED':<7}")
    columns.append("same bits" if entry["same_bits"] else "BITS DIFFER")
    return "".join(columns)


def run(wanted):
    """Measure all workloads, printing as they go.

    Returns
    -------
    dict
        All that was found, fit for JSON.
    """
    if wanted.threads < 2:
        sys.exit("one thread cannot be compared with itself")
    report = reporting.start() | {"options": vars(wanted), "goal": _GOAL}
    print(
        f"one thread and {wanted.threads}, milliseconds an epoch of skmlp; gain: one "
        f"thread's time over that of all, goal at least {_GOAL}; "
        f"rounds: {wanted.rounds}"
    )
    report["results"] = []
    for dtype in wanted.dtype:
        print(f"\n{dtype:<39}{'alone: one':>10}{'all':>9}{'gain':>7}", end="")
        print(f"{'busy: one':>10}{'all':>9}{'gain':>7}")
        for workload in _WORKLOADS[::3] if wanted.quick else _WORKLOADS:
            report["results"].append(measure(workload, dtype, wanted))
            print(line(report["results"][-1]), flush=True)
    return report


def main():
    both = ("float32", "float64")
    reporting.main(
        __doc__,
        run,
        quick="3 workloads, float32, 3 rounds",
        threads={"type": int, "default": joblib.cpu_count()},
        dtype={
            "nargs": "+",
            "choices": both,
            "help": "default both",
            "full": both,
            "brief": both[:1],
        },
        rounds={
            "type": int,
            "help": "default 7, with --quick 3",
            "full": 7,
            "brief": 3,
        },
    )


if __name__ == "__main__":
    main()
