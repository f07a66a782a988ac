"""
A stream of rows
================

Rows arrive in chunks and none is kept. ``partial_fit`` trains one epoch on each chunk,
with the optimizer of the last one. Each chunk is predicted before it is trained on,
which is an honest test. After half of the stream the world changes, and the network
follows.
"""

import matplotlib.pyplot as plt
import numpy as np

from skmlp import MLPClassifier

rng = np.random.default_rng(0)
CHUNK, CHUNKS = 200, 300


def chunk(time):
    """Rows, and labels whose rule turns by a right angle at half time."""
    X = rng.normal(size=(CHUNK, 2))
    angle = 0.0 if time < CHUNKS / 2 else np.pi / 2
    turned = X[:, 0] * np.cos(angle) + X[:, 1] * np.sin(angle)
    return X, (np.sin(2 * turned) + rng.normal(0, 0.2, CHUNK) > 0).astype(int)


models = {
    rate: MLPClassifier((32,), learning_rate_init=rate, batch_size=50, random_state=0)
    for rate in (0.001, 0.01, 0.1)
}
scores = {rate: [] for rate in models}
for time in range(CHUNKS):
    X, y = chunk(time)
    for rate, model in models.items():
        if time > 0:
            scores[rate].append(model.score(X, y))
        model.partial_fit(X, y, classes=[0, 1])

# %%
# A large learning rate forgets sooner, and is less exact when nothing changes.

figure, axis = plt.subplots(figsize=(8, 4))
for rate, curve in scores.items():
    smooth = np.convolve(curve, np.ones(10) / 10, mode="valid")
    axis.plot(smooth, label=f"learning_rate_init={rate}")
axis.axvline(CHUNKS / 2 - 10, color="0.5", linestyle=":")
axis.set(
    ylim=(0.4, 1), xlabel="chunk", ylabel="accuracy before training, mean of 10 chunks"
)
axis.legend(loc="lower left")
figure.tight_layout()

# %%
# What a chunk need not have is every class: the first call names them all.
# ``no_improvement_count_`` counts over the calls, so a loop can end by itself.

print(f"{models[0.01].t_:,} rows seen, {models[0.01].n_iter_} epochs")
plt.show()
