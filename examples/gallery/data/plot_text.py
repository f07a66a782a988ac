"""
Sparse text
===========

A matrix of word counts has a column a word and is nearly empty. It is never made dense:
the first layer reads what is there. A made-up corpus with two themes a text, and what
the network has learned about words.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from skmlp import MLPClassifier

THEMES = {
    "cooking": "onion garlic butter simmer oven flour spoon taste salt dish",
    "sailing": "wind sail harbor anchor deck rope tide mast crew buoy",
    "music": "chord melody drum tempo choir violin concert lyric rhythm song",
    "garden": "soil seed prune compost rose hedge mulch bloom weed rain",
}
COMMON = "the a of and to in was it for with on that we then very good long day two"
rng = np.random.default_rng(0)


def text(theme):
    """Words of a theme, of another one, common and rare ones, in any order."""
    other = rng.choice(list(THEMES))
    words = [*rng.choice(THEMES[theme].split(), 2), rng.choice(THEMES[other].split())]
    words += [*rng.choice(COMMON.split(), 14)]
    words += [f"name{i}" for i in rng.zipf(1.3, 4).clip(max=10**5)]
    return " ".join(rng.permutation(words))


y = rng.choice(list(THEMES), 4000)
texts = [text(theme) for theme in y]
print(texts[0])

# %%
# Vectorizer and network
# ----------------------
# The matrix stays sparse and, by ``dtype``, in single precision.

train, test, y_train, y_test = train_test_split(texts, y, random_state=0)
model = make_pipeline(
    TfidfVectorizer(dtype=np.float32, sublinear_tf=True),
    MLPClassifier((16,), max_iter=40, early_stopping=True, random_state=0),
)
model.fit(train, y_train)
vectors = model[0].transform(test)
share = vectors.nnz / np.prod(vectors.shape)
print(f"{vectors.shape[1]:,} words, {share:.2%} of the matrix is not zero")
print(f"accuracy on new texts: {model.score(test, y_test):.3f}")

# %%
# What it has learned about words
# -------------------------------
# A text of one word, and the network's log-odds for it.

words = [word for theme in THEMES.values() for word in theme.split()[:4]]
words += ["the", "very"]
evidence = model.decision_function(words)
figure, axis = plt.subplots(figsize=(9, 3.4))
limit = np.abs(evidence).max()
image = axis.imshow(evidence.T, cmap="RdBu", vmin=-limit, vmax=limit, aspect="auto")
axis.set(yticks=range(4), yticklabels=model.classes_, xticks=range(len(words)))
axis.set_xticklabels(words, rotation=60, ha="right", rotation_mode="anchor")
figure.colorbar(image, label="log-odds")
figure.tight_layout()
plt.show()
