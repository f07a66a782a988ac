"""
A label for every pixel: softmax or sigmoids
============================================

A network that sees the patch around a pixel says what the pixel belongs to. Where
classes exclude each other (background, disk, bar) the target is one column of classes
and the output a softmax. Where they overlap (disk and bar at once) the target has a
column for each, and each gets a sigmoid.
"""

import matplotlib.pyplot as plt
import numpy as np

from skmlp import MLPClassifier

SIZE, PATCH = 64, 9
rng = np.random.default_rng(0)
rows, columns = np.mgrid[:SIZE, :SIZE]


def scene():
    """A noisy picture of disks and bars, and where each of them is."""
    disk, bar = np.zeros((2, SIZE, SIZE), dtype=bool)
    for _ in range(4):
        y, x, radius = *rng.integers(0, SIZE, 2), rng.integers(7, 11)
        disk |= (rows - y) ** 2 + (columns - x) ** 2 < radius**2
        y, x, angle = *rng.integers(0, SIZE, 2), rng.uniform(0, np.pi)
        across = (rows - y) * np.cos(angle) - (columns - x) * np.sin(angle)
        along = (rows - y) * np.sin(angle) + (columns - x) * np.cos(angle)
        bar |= (np.abs(across) < 2.5) & (np.abs(along) < 30)
    stripes = 0.4 * np.sin(rows * 1.6)  # disks are striped, bars are bright
    picture = 0.7 * bar + disk * (0.35 + stripes) + rng.normal(0, 0.25, disk.shape)
    return picture, disk, bar


def patches(picture):
    """The pixels around each pixel, a row each."""
    padded = np.pad(picture, PATCH // 2, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (PATCH, PATCH))
    return windows.reshape(-1, PATCH**2).astype(np.float32)


scenes = [scene() for _ in range(9)]
X = np.vstack([patches(picture) for picture, _, _ in scenes[:-1]])
disk, bar = (np.concatenate([s[i].ravel() for s in scenes[:-1]]) for i in (1, 2))
picture, true_disk, true_bar = scenes[-1]

# %%
# One class a pixel: softmax
# --------------------------
# What lies on top counts: a bar hides a disk.

settings = {"max_iter": 12, "n_iter_no_change": 12, "learning_rate": "one_cycle"}
settings |= {"learning_rate_init": 0.01, "random_state": 0}
one_class = MLPClassifier((64, 32), **settings)
one_class.fit(X, np.where(bar, 2, np.where(disk, 1, 0)))
classes = one_class.predict(patches(picture)).reshape(SIZE, SIZE)
truth = np.where(true_bar, 2, np.where(true_disk, 1, 0))

figure, axes = plt.subplots(1, 3, figsize=(9, 3.3))
axes[0].imshow(picture, cmap="gray")
axes[1].imshow(truth, cmap="viridis", interpolation="nearest")
axes[2].imshow(classes, cmap="viridis", interpolation="nearest")
titles = ("a new picture", "truth", f"softmax: {np.mean(classes == truth):.0%} right")
for axis, title in zip(axes, titles, strict=True):
    axis.set_title(title)
    axis.axis("off")
figure.tight_layout()

# %%
# Any of the labels: sigmoids
# ---------------------------
# Where a bar crosses a disk, both may be likely; the sum of the two is not one.

both = MLPClassifier((64, 32), **settings).fit(X, np.column_stack([disk, bar]) * 1)
likely = both.predict_proba(patches(picture)).reshape(SIZE, SIZE, 2)
print(f"outputs: {one_class.out_activation_} and {both.out_activation_}")
figure, axes = plt.subplots(1, 3, figsize=(9, 3.3))
panels = (likely[..., 0], likely[..., 1], likely.sum(axis=-1))
titles = ("probability of a disk", "probability of a bar", "their sum")
for axis, panel, title in zip(axes, panels, titles, strict=True):
    image = axis.imshow(
        panel, cmap="magma", vmin=0, vmax=2 if title == titles[2] else 1
    )
    figure.colorbar(image, ax=axis, shrink=0.7)
    axis.set_title(title)
    axis.axis("off")
figure.tight_layout()
plt.show()
