"""
Speed beside scikit-learn
=========================

The same network, the same numbers, and how long an epoch takes, in one thread each. The
first fit compiles its kernels, or loads them from the disk, so it is not timed here.
The libraries take turns and the fastest fit of each counts, since other work on the
machine makes fits slower and never faster. These are the figures of the machine that
built this page: run the script on yours. For more networks, threads, processors and
libraries run ``benchmarks/cpu.py``.
"""

import time
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn import neural_network
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

import skmlp

# Few epochs on purpose: both libraries warn that they have not converged.
warnings.simplefilter("ignore", ConvergenceWarning)


def seconds(library, sizes, batch_size, X, y):
    """Seconds of an epoch in one thread, and the fitted network."""
    model = library.MLPClassifier(
        sizes, batch_size=batch_size, max_iter=5, random_state=0
    )
    with threadpool_limits(1):
        start = time.perf_counter()
        model.fit(X, y)
    return (time.perf_counter() - start) / model.n_iter_, model


networks = [
    (20, (32,), 32),
    (20, (100,), 200),
    (60, (64, 32), 64),
    (60, (100,), 200),
    (100, (256,), 256),
]
names, rows = [], []
for n_features, sizes, batch_size in networks:
    X, y = make_classification(2000, n_features, n_informative=10, random_state=0)
    seconds(skmlp, sizes, batch_size, X, y)  # compiles, or loads
    best = {}
    for _ in range(3):
        for library in (skmlp, neural_network):
            result = seconds(library, sizes, batch_size, X, y)
            best[library] = min(best.get(library, result), result, key=lambda r: r[0])
    (ours, model), (theirs, other) = best[skmlp], best[neural_network]
    pairs = zip(model.coefs_, other.coefs_, strict=True)
    difference = max(np.abs(a - b).max() for a, b in pairs)
    layers = "-".join(map(str, (n_features, *sizes)))
    names.append(f"{layers}\nbatches of {batch_size}")
    rows.append((ours, theirs))
    print(
        f"{layers:>8}: {theirs / ours:4.1f} times as fast, "
        f"largest difference of a weight {difference:.0e}"
    )

# %%
# The smaller the network, the more of scikit-learn's time is Python between the matrix
# products, and the larger the ratio. Shorter bars are better:

rows = np.array(rows) * 1000
ratios = rows[:, 1] / rows[:, 0]
place = np.arange(len(names))
figure, axis = plt.subplots(figsize=(8, 4))
axis.barh(place - 0.2, rows[:, 1], 0.4, label="scikit-learn", color="0.7")
bars = axis.barh(place + 0.2, rows[:, 0], 0.4, label="skmlp", color="C0")
axis.bar_label(bars, [f"{ratio:.1f} times as fast" for ratio in ratios], padding=4)
axis.set(yticks=place, yticklabels=names, xlabel="milliseconds an epoch, float64")
axis.invert_yaxis()
axis.legend()
figure.tight_layout()
plt.show()
