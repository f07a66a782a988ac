"""Both estimators on real data, beside scikit-learn on the same data.

Only the class differs between the two: same parameters, same ``random_state``, hence
the same fitted network, up to rounding. A fit of a few rows compiles the kernels, or
loads them if they have been compiled before. The libraries then take turns, and the
fastest fit of each counts: other work on the machine can only slow a fit down.

scikit-learn gets the number of BLAS threads that suits it. For networks of this size
more threads often make it slower, by far on a busy machine.
"""

import logging
import time
import warnings

import joblib
import numpy as np
import sklearn
from sklearn import neural_network
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from threadpoolctl import threadpool_limits  # scikit-learn depends on it

import skmlp

ROUNDS = 5
# The idle threads of OpenBLAS spin for about 0.11 s after their last work and keep the
# cores from whoever runs next. Without a rest, scikit-learn would slow skmlp down.
REST_SECONDS = 0.5
CORES = joblib.cpu_count()


def classifier(library):
    """Pipeline for the digits."""
    network = library.MLPClassifier(
        hidden_layer_sizes=(100,),
        learning_rate_init=0.01,
        max_iter=400,
        random_state=0,
    )
    return make_pipeline(MinMaxScaler(), network)


def regressor(library):
    """Pipeline for the diabetes data; the target is scaled like the features."""
    network = library.MLPRegressor(
        hidden_layer_sizes=(50,),
        alpha=1.0,
        batch_size=64,
        max_iter=500,
        random_state=0,
    )
    pipeline = make_pipeline(StandardScaler(), network)
    return TransformedTargetRegressor(pipeline, transformer=StandardScaler())


class CountCompiled(logging.Handler):
    """Counts the kernels that skmlp reports as compiled while this is entered."""

    def __init__(self):
        super().__init__(logging.INFO)
        self.count = 0

    def emit(self, record):
        """Count a message that says so."""
        self.count += record.getMessage().startswith("compiled")

    def __enter__(self):
        logger = logging.getLogger("skmlp")
        logger.addHandler(self)
        logger.setLevel(logging.INFO)
        return self

    def __exit__(self, *_):
        logging.getLogger("skmlp").removeHandler(self)


def compile_kernels(model, X, y):
    """Compile or load what a fit and a score of this model need, on a few rows."""
    print("  compiling or loading the kernels ...", end=" ", flush=True)
    start = time.perf_counter()
    with CountCompiled() as compiled, warnings.catch_warnings():
        # So few rows need not converge; this fit is thrown away.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X[:64], y[:64]).score(X[:64], y[:64])
    seconds = time.perf_counter() - start
    if compiled.count:
        print(f"{compiled.count} compiled in {seconds:.1f} s; later runs load them")
    else:
        print(f"loaded in {seconds:.1f} s: compiled by an earlier run")


def seconds_of_fit(model, X, y):
    time.sleep(REST_SECONDS)
    start = time.perf_counter()
    model.fit(X, y)
    return time.perf_counter() - start


def seconds_of_scikit_learn(model, X, y, threads):
    with threadpool_limits(threads, user_api="blas"):
        return seconds_of_fit(model, X, y)


def time_in_turns(ours, theirs, X, y):
    """Fastest fits of skmlp and scikit-learn, and scikit-learn's number of threads."""
    candidates = sorted({1, CORES})
    our_times, their_times = [], {threads: [] for threads in candidates}
    for number in range(1, ROUNDS + 1):
        print(f"  round {number} of {ROUNDS}:", end=" ", flush=True)
        our_times.append(seconds_of_fit(ours, X, y))
        print(f"skmlp {our_times[-1]:.3f} s", end="", flush=True)
        for threads in candidates:
            seconds = seconds_of_scikit_learn(theirs, X, y, threads)
            their_times[threads].append(seconds)
            in_words = f"scikit-learn {seconds:.3f} s (BLAS threads: {threads})"
            print(f", {in_words}", end="", flush=True)
        print()
        # The first round tells which number of threads is worth the other rounds.
        candidates = [min(candidates, key=lambda threads: min(their_times[threads]))]
    threads = candidates[0]
    return min(our_times), min(their_times[threads]), threads


def network_of(model):
    """The fitted network within one of the models above."""
    pipeline = getattr(model, "regressor_", model)
    return pipeline[-1]


def largest_weight_difference(models):
    """Largest absolute difference between weights or biases of two fitted models."""
    ours, theirs = (network_of(model) for model in models)
    pairs = zip(
        ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True
    )
    return max(np.max(np.abs(ours - theirs)) for ours, theirs in pairs)


def compare(title, score_name, make, X, y):
    """Fit with both libraries in turns and print times, scores and weights."""
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=0.25, random_state=0
    )
    print(f"\n{title}: {len(X_train)} training rows, {X.shape[1]} features")
    compile_kernels(make(skmlp), X_train, y_train)
    ours, theirs = make(skmlp), make(neural_network)
    our_seconds, their_seconds, threads = time_in_turns(ours, theirs, X_train, y_train)
    for name, seconds, model, threads_in_words in (
        ("skmlp", our_seconds, ours, f"threads: up to {CORES}"),
        ("scikit-learn", their_seconds, theirs, f"BLAS threads: {threads}"),
    ):
        score = f"{score_name} {model.score(X_test, y_test):.4f}"
        print(f"  {name:<13}fastest fit {seconds:.3f} s  {score}  {threads_in_words}")
    print(f"  skmlp is {their_seconds / our_seconds:.1f} times as fast")
    difference = largest_weight_difference([ours, theirs])
    print(f"  largest difference of any fitted weight: {difference:.1e}")


def main():
    print(
        f"skmlp {skmlp.__version__}, scikit-learn {sklearn.__version__}, {CORES} cores"
    )
    X, y = load_digits(return_X_y=True)
    compare("MLPClassifier, digits", "accuracy", classifier, X, y)
    X, y = load_diabetes(return_X_y=True)
    compare("MLPRegressor, diabetes", "R2", regressor, X, y)
    print("\nNext: help(skmlp.MLPClassifier), docs/choosing.md, docs/differences.md")


if __name__ == "__main__":
    main()
