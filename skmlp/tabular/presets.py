"""What the members of an ensemble are: presets, and random hyperparameters.

The parameters are those of RealMLP (Holzmüller, Grinsztajn and Steinwart, NeurIPS 2024)
for networks of half the width, which lose nothing on tables and cost a third, most with
piecewise-linear embeddings of numbers (Gorishniy, Rubachev and Babenko, NeurIPS 2022).
Members differ in embedding, width, regularization, epochs and what selects the epoch:
an average of different networks is better than one of equal ones that differ by their
seeds, and tables differ in how much regularization they want, which greedy selection on
validation rows finds out. Each list was found by forward selection (the network that
lowers the error of the ensemble most, for its seconds) on the half of the sets of
``benchmarks/tabular.py`` that it calls "choose". Random hyperparameters are the idea of
TabPack (Gorishniy et al., ICML 2026).
"""

from typing import NamedTuple

import numpy as np

from skmlp.embedding import PIECEWISE_LINEAR
from skmlp.estimators.rate_factors import NTK
from skmlp.rules.initializers import DATA_DRIVEN

# Networks by embedding and parametrization.
_EMBEDDED = {
    "activation": "mish",
    "learning_rate": "one_cycle",
    "embedding": PIECEWISE_LINEAR,
    "n_bins": 16,
    "embedding_dim": 4,
}
_FINELY_EMBEDDED = {**_EMBEDDED, "n_bins": 32, "embedding_dim": 8}
_PLAIN = {
    "activation": "mish",
    "learning_rate": "one_cycle",
    "learning_rate_factors": NTK,
    "bias_learning_rate_factor": 0.1,
}
_RELU = {
    **_EMBEDDED,
    "activation": "relu",
    "embedding_dim": 8,
    "weight_decay": 1.0,
    "dropout": 0.3,
}
_SLOWLY_EMBEDDED = {
    **_EMBEDDED,
    "learning_rate": "flat_cosine",
    "learning_rate_factors": NTK,
    "embedding_dim": 8,
    "embedding_learning_rate_factor": 0.1,
}
_EMBEDDING = ("embedding", "n_bins", "embedding_dim", "embedding_learning_rate_factor")
_WIDTH, _DEPTH = 128, 3
# Rates of RealMLP, which are those of weights divided by the root of the fan-in.
_CLASSIFICATION_RATE, _REGRESSION_RATE = 0.04, 0.2

_SIMPLE = {**_EMBEDDED, "dropout": 0.3, "scoring": "loss"}
_HALF = {"epochs": 0.5}
_LITTLE, _NO_DROPOUT = {"dropout": 0.05}, {"dropout": 0.0}

# For each kind of target its networks, the most useful first: what each has beside what
# all have. Epochs are shares of the preset's.
_RECIPES = {
    "binary": (
        {**_SIMPLE, "hidden_layer_sizes": (128,), "weight_decay": 2.0},
        {**_EMBEDDED, **_HALF},
        {**_PLAIN, **_HALF, "activation": "selu"},
        {**_SIMPLE, "hidden_layer_sizes": (64, 64), "weight_decay": 3.0},
        _RELU,
        {**_EMBEDDED, **_LITTLE, **_HALF, "weight_decay": 0.1},
    ),
    "multiclass": (
        _PLAIN,
        {**_RELU, **_HALF, "scoring": "loss"},
        {**_PLAIN, **_LITTLE, "weight_decay": 0.005},
        {**_SLOWLY_EMBEDDED, **_LITTLE, **_HALF, "weight_decay": 0.005},
        {**_EMBEDDED, **_NO_DROPOUT, "weight_decay": 0.1},
        {**_PLAIN, "hidden_layer_sizes": (128, 128)},
    ),
    "regression": (
        {**_PLAIN, **_NO_DROPOUT, "weight_decay": 0.005},
        _FINELY_EMBEDDED,
        {**_EMBEDDED, **_NO_DROPOUT, "weight_decay": 0.1},
        {**_PLAIN, **_LITTLE, **_HALF, "weight_decay": 0.005},
        {**_PLAIN, **_HALF, "activation": "selu"},
        {**_EMBEDDED, **_LITTLE, **_HALF, "weight_decay": 0.1},
    ),
}


class Preset(NamedTuple):
    """How many members, of which kind.

    Attributes
    ----------
    n_members : int
    max_iter : int
        Epochs of a member.
    varies : bool
        Whether members have random hyperparameters.
    """

    n_members: int
    max_iter: int
    varies: bool


PRESETS = {
    "fast": Preset(3, 128, varies=False),
    "default": Preset(6, 128, varies=False),
    "best": Preset(24, 192, varies=True),
}


def recipes(preset, kind, n_members, n_rows, generator):
    """Recipes of the members of an ensemble.

    Parameters
    ----------
    preset : Preset
    kind : str
        'binary', 'multiclass' or 'regression'.
    n_members : int
    n_rows : int
        Training rows.
    generator : numpy.random.RandomState

    Returns
    -------
    list of dict
        Parameters of the plain estimators.
    """
    listed = _RECIPES[kind]
    fixed = [
        _completed(listed[i % len(listed)], preset, kind, n_rows)
        for i in range(n_members)
    ]
    if not preset.varies:
        return fixed
    return [
        recipe if i < len(listed) else _varied(recipe, generator)
        for i, recipe in enumerate(fixed)
    ]


def without_embedding(recipe):
    """A recipe for sparse columns, which have no quantiles, or for very many."""
    return {name: value for name, value in recipe.items() if name not in _EMBEDDING}


def _completed(recipe, preset, kind, n_rows):
    """A recipe with all that the networks of a preset have in common."""
    by_fan_in = "learning_rate_factors" in recipe
    rate = _REGRESSION_RATE if kind == "regression" else _CLASSIFICATION_RATE
    own = dict(recipe)
    max_iter = max(1, round(own.pop("epochs", 1.0) * preset.max_iter))
    return {
        "hidden_layer_sizes": (_WIDTH,) * _DEPTH,
        "solver": "adam",
        "alpha": 0.0,
        "batch_size": batch_size(n_rows),
        "learning_rate_init": rate if by_fan_in else rate / np.sqrt(_WIDTH),
        "max_iter": max_iter,
        "beta_2": 0.95,
        "weight_decay": 0.02 if by_fan_in else 0.3,
        "dropout": 0.15,
        "weight_init": DATA_DRIVEN,
        "early_stopping": True,
        "best_epoch": "last",
        "n_iter_no_change": max_iter,
        **own,
    }


def _varied(recipe, generator):
    """A recipe with random hyperparameters."""
    factor = np.exp(generator.uniform(np.log(0.3), np.log(2.0)))
    width = int(generator.choice([64, 128, 192, 256]))
    by_fan_in = "learning_rate_factors" in recipe
    decay = recipe["weight_decay"] * np.exp(
        generator.uniform(np.log(0.05), np.log(3.0))
    )
    rate = factor * recipe["learning_rate_init"]
    n_bins = int(generator.choice([8, 16, 32]))
    return {
        **recipe,
        "hidden_layer_sizes": (width,) * int(generator.randint(1, 5)),
        "activation": str(generator.choice(["mish", "selu", "relu"])),
        "learning_rate_init": rate if by_fan_in else rate * np.sqrt(_WIDTH / width),
        "weight_decay": float(decay),
        "dropout": float(generator.choice([0.0, generator.uniform(0.0, 0.5)])),
        **({"n_bins": n_bins} if "embedding" in recipe else {}),
    }


def batch_size(n_rows):
    """Rows of a minibatch, as in RealMLP's ensembles."""
    for size, limit in ((64, 1024), (128, 8192), (256, 30_000), (512, 100_000)):
        if n_rows <= limit:
            return size
    return 1024
