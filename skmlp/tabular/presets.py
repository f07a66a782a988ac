"""What the members of an ensemble are: presets, and random hyperparameters.

The parameters are those of RealMLP (Holzmüller, Grinsztajn and Steinwart, NeurIPS 2024)
for networks of half the width, which lose nothing on tables and cost a third, most with
piecewise-linear embeddings of numbers (Gorishniy, Rubachev and Babenko, NeurIPS 2022).
Members take turns among recipes that differ in embedding, activation, schedule and
parametrization: an average of different networks is better than one of equal ones that
differ by their seeds. Random hyperparameters with greedy selection are the idea of
TabPack (Gorishniy et al., ICML 2026).
"""

from typing import NamedTuple

import numpy as np

from skmlp.embedding import PIECEWISE_LINEAR
from skmlp.estimators.rate_factors import NTK
from skmlp.rules.initializers import DATA_DRIVEN

# Recipes that members take turns in, beside what all have.
_RECIPES = (
    {
        "activation": "mish",
        "learning_rate": "one_cycle",
        "embedding": PIECEWISE_LINEAR,
        "n_bins": 16,
        "embedding_dim": 4,
    },
    {
        "activation": "mish",
        "learning_rate": "one_cycle",
        "learning_rate_factors": NTK,
        "bias_learning_rate_factor": 0.1,
    },
    {
        "activation": "relu",
        "learning_rate": "one_cycle",
        "weight_decay": 1.0,
        "dropout": 0.3,
        "embedding": PIECEWISE_LINEAR,
        "n_bins": 16,
        "embedding_dim": 8,
    },
    {
        "activation": "mish",
        "learning_rate": "flat_cosine",
        "learning_rate_factors": NTK,
        "embedding": PIECEWISE_LINEAR,
        "n_bins": 16,
        "embedding_dim": 8,
        "embedding_learning_rate_factor": 0.1,
    },
)
_EMBEDDING = ("embedding", "n_bins", "embedding_dim", "embedding_learning_rate_factor")
_WIDTH, _DEPTH = 128, 3
# Rates of RealMLP, which are those of weights divided by the root of the fan-in.
CLASSIFICATION_RATE, REGRESSION_RATE = 0.04, 0.2


class Preset(NamedTuple):
    """How many members, of which kind.

    Attributes
    ----------
    n_members : int
    n_recipes : int
        Recipes that members take turns in, the first ones.
    max_iter : int
        Epochs of a member.
    varies : bool
        Whether members have random hyperparameters, of which greedy selection picks.
    """

    n_members: int
    n_recipes: int
    max_iter: int
    varies: bool


PRESETS = {
    "fast": Preset(2, 2, 128, varies=False),
    "default": Preset(6, 4, 128, varies=False),
    "best": Preset(24, 4, 192, varies=True),
}


def recipes(preset, n_members, n_rows, rate, generator):
    """Recipes of the members of an ensemble.

    Parameters
    ----------
    preset : Preset
    n_members : int
    n_rows : int
        Training rows.
    rate : float
        `CLASSIFICATION_RATE` or `REGRESSION_RATE`.
    generator : numpy.random.RandomState

    Returns
    -------
    list of dict
        Parameters of the plain estimators.
    """
    fixed = [_fixed(preset, n_rows, rate, i) for i in range(n_members)]
    if not preset.varies:
        return fixed
    return [
        recipe if i < len(_RECIPES) else _varied(recipe, generator)
        for i, recipe in enumerate(fixed)
    ]


def without_embedding(recipe):
    """A recipe for sparse columns, which have no quantiles, or for very many."""
    return {name: value for name, value in recipe.items() if name not in _EMBEDDING}


def _fixed(preset, n_rows, rate, index):
    """The recipe of the member of an index."""
    recipe = _RECIPES[index % preset.n_recipes]
    by_fan_in = "learning_rate_factors" in recipe
    return {
        "hidden_layer_sizes": (_WIDTH,) * _DEPTH,
        "solver": "adam",
        "alpha": 0.0,
        "batch_size": batch_size(n_rows),
        "learning_rate_init": rate if by_fan_in else rate / np.sqrt(_WIDTH),
        "max_iter": preset.max_iter,
        "beta_2": 0.95,
        "weight_decay": 0.02 if by_fan_in else 0.3,
        "dropout": 0.15,
        "weight_init": DATA_DRIVEN,
        "early_stopping": True,
        "n_iter_no_change": preset.max_iter,
        **recipe,
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
