"""
Several labels a row
====================

A target of several columns of 0 and 1 gets a logistic output a column: labels may occur
together, or not at all. One network learns them together; what its hidden layer learns
for one label serves the others.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split

from skmlp import MLPClassifier

X, digit = load_digits(return_X_y=True)
labels = {
    "even": digit % 2 == 0,
    "above four": digit > 4,
    "has a loop": np.isin(digit, (0, 6, 8, 9)),
    "prime": np.isin(digit, (2, 3, 5, 7)),
}
Y = np.column_stack(list(labels.values())).astype(int)
X_train, X_test, Y_train, Y_test = train_test_split(X / 16, Y, random_state=0)

model = MLPClassifier(
    (50,), learning_rate="cosine", learning_rate_init=0.01, max_iter=60, random_state=0
)
model.fit(X_train, Y_train)
predicted = model.predict(X_test)
for name, score in zip(labels, f1_score(Y_test, predicted, average=None), strict=True):
    print(f"{name:>10}: F1 {score:.2f}")
print(f"all labels right: {model.score(X_test, Y_test):.2f} of the digits")

# %%
# The probabilities of some digits
# --------------------------------
# A column a digit; a cross marks the labels that it has.

shown = slice(0, 12)
figure, (pictures, table) = plt.subplots(
    2, 1, figsize=(9, 3.6), height_ratios=(1, 3), sharex=True
)
strip = X_test[shown].reshape(-1, 8, 8)
for i, picture in enumerate(strip):
    pictures.imshow(picture, cmap="gray_r", extent=(i - 0.4, i + 0.4, 0, 0.8))
pictures.set(xlim=(-0.5, 11.5), ylim=(0, 0.8), aspect="equal")
pictures.axis("off")
likely = model.predict_proba(X_test)[shown]
image = table.imshow(likely.T, cmap="Blues", vmin=0, vmax=1, aspect="auto")
rows, columns = np.nonzero(Y_test[shown].T)
table.scatter(columns, rows, marker="x", color="C1")
table.set(yticks=range(4), yticklabels=labels, xticks=[])
figure.colorbar(image, ax=(pictures, table), label="probability")
plt.show()
