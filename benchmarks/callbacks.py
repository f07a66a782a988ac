"""What callbacks cost: fits with and without, in turns.

`MLPClassifier()` on the digits and on as many rows and columns as Fashion-MNIST has,
which are generated. Beside the plain fit: hooks that do nothing, a hook that is given a
fitted estimator at every epoch and does nothing with it, and ``verbose=2``. The ratios
are those of whole fits, each the median over the rounds, whose peers run directly one
after the other. A machine that is not quiet disturbs threads that wait for each other;
with ``--threads 1`` processor times are compared, which other processes hardly change.
"""

import contextlib
import functools
import io
import statistics
import time
import warnings

import numpy as np
import scenario
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

import skmlp

# Epochs of a fit, of which no other end is in sight.
_WORKLOADS = {"digits, 1,797 x 64": 150, "60,000 x 784": 4}


class Idle:
    """Hooks that do nothing."""

    def setup(self, estimator, context):
        """Nothing."""

    teardown = on_fit_task_begin = on_fit_task_end = setup


class AsksForModel(Idle):
    """A hook that is given a fitted estimator."""

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        """Nothing."""


def data_of(name):
    """X in float64 for the digits, in float32 for the generated images, and classes."""
    if name.startswith("digits"):
        return load_digits(return_X_y=True)
    generator = np.random.default_rng(0)
    X = generator.random((60_000, 784), dtype=np.float32)
    return X, generator.integers(0, 10, len(X))


def fits_of(name, epochs, threads):
    """A call without arguments for each way to fit."""
    X, y = data_of(name)

    def estimator(*callbacks, verbose=False):
        model = skmlp.MLPClassifier(
            max_iter=epochs,
            tol=0.0,
            n_iter_no_change=np.inf,
            random_state=0,
            n_jobs=threads,
            verbose=verbose,
        )
        return model.set_callbacks(*callbacks)

    models = {
        "plain": estimator(),
        "idle hooks": estimator(Idle()),
        "fitted estimator": estimator(AsksForModel()),
        "verbose=2": estimator(verbose=2),
    }
    return {key: functools.partial(model.fit, X, y) for key, model in models.items()}


def seconds_of(fit, clock):
    """Time of a fit whose warnings and lines nobody sees."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        # Every fit ends by max_iter, on purpose; random labels cannot be learned.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", skmlp.exceptions.PoorFitWarning)
        warnings.simplefilter("ignore", skmlp.exceptions.DeadUnitsWarning)
        start = clock()
        fit()
        return clock() - start


def setup(options):
    """Print the heading."""
    print("milliseconds an epoch, and ratios to the plain fit; medians of rounds")
    print(f"{'':<20}{'plain':>9}{'idle hooks':>12}{'fitted estimator':>18}  verbose=2")


def measure(state, options):
    """Yield an entry for each workload."""
    clock = time.process_time if options.threads == 1 else time.perf_counter
    for name, epochs in _WORKLOADS.items():
        fits = fits_of(name, epochs, options.threads)
        for fit in fits.values():
            seconds_of(fit, clock)
        turns = [
            {key: seconds_of(fit, clock) for key, fit in fits.items()}
            for _ in range(options.rounds)
        ]
        plain = statistics.median(turn["plain"] for turn in turns)
        ratios = {
            key: statistics.median(turn[key] / turn["plain"] for turn in turns)
            for key in fits
        }
        yield {"workload": name, "epoch": plain / epochs, "ratios": ratios}


def line(entry):
    """One entry as a line of the table."""
    ratios = entry["ratios"]
    return (
        f"{entry['workload']:<20}{1e3 * entry['epoch']:>9.2f}"
        f"{ratios['idle hooks']:>12.3f}{ratios['fitted estimator']:>18.3f}"
        f"{ratios['verbose=2']:>11.3f}"
    )


SCENARIO = scenario.Scenario(
    doc=__doc__,
    quick="3 rounds",
    setup=setup,
    measure=measure,
    line=line,
    options={"rounds": scenario.rounds(15, 3), "threads": scenario.threads()},
    goal=1.02,
)


if __name__ == "__main__":
    SCENARIO.main()
