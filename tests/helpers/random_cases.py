"""Random choices for the tests of everything at once, from a seed.

Rows of tables are dealt from shuffled decks, so that each of them occurs as often as
any other: random numbers alone would leave some out.
"""

import numpy as np

from skmlp import MLPRegressor
from skmlp.rules.optimizers import OPTIMIZERS
from skmlp.rules.schedules import SCHEDULES

NORMALIZATIONS = [None, "batch", "layer"]
WIDTHS = [1, 2, 3, 5, 8, 11]


class Dealer:
    """Draws from tables, each row once before any comes again."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self._decks = {}
        self.dealt = {}

    def deal(self, name, rows):
        """The number's row of a deck; a deck is known by its name."""
        deck = self._decks.setdefault(name, [])
        if not deck:
            deck.extend(self.rng.permutation(len(rows)))
        row = rows[deck.pop()]
        self.dealt.setdefault(name, []).append(row)
        return row

    def flip(self, share=0.5):
        return bool(self.rng.random() < share)

    def one_of(self, *values):
        return values[self.rng.integers(len(values))]


def draw_settings(dealer):
    """What an optimizer is made from, as an estimator's parameters."""
    return MLPRegressor(
        solver=dealer.deal("optimizer", [*OPTIMIZERS]),
        learning_rate=dealer.deal("schedule", [*SCHEDULES]),
        learning_rate_init=dealer.one_of(0.003, 0.02),
        warmup_epochs=dealer.deal("warmup", [0.0, 0.0, 0.7, 2.0]),
        max_iter=dealer.one_of(1, 2, 5),
        decay_epochs=dealer.one_of(1, 3),
        plateau_patience=dealer.one_of(1, 3),
        weight_decay=dealer.deal("weight_decay", [0.0, 0.4]),
        nesterovs_momentum=dealer.flip(),
        momentum=dealer.one_of(0.0, 0.9),
        beta_1=dealer.one_of(0.0, 0.9),
        beta_2=dealer.one_of(0.99, 0.999),
        epsilon=dealer.one_of(1e-8, 1e-3),
    )
