"""A learning rate range test: minibatch steps with rates that grow from step to step.

Smith (2017), "Cyclical learning rates for training neural networks". It takes the place
of `skmlp.training.minibatch.train` in a fit, so that everything that a fit prepares,
as weights, samplings, scales and initial parameters, is what a training would have. It
ends by an exception: the parameters are of no use afterwards, and nothing of the fit is
to be kept.
"""

import math

# The test ends after so many steps in a row with a loss above the limit.
_MAX_ABOVE = 3
# First losses, whose mean is where the loss begins.
_N_FIRST = 5
# The limit is above the first loss by so many times its size, or its fall.
_MARGIN = 3.0


class RangeTestOver(Exception):  # noqa: N818 - it reports no error
    """Ends the fit in which a range test ran; the estimator is then unchanged."""


class RangeTest:
    """Trains a step for each learning rate and records the loss before it.

    Parameters
    ----------
    learning_rates : ndarray of shape (n_steps,)
        In ascending order.

    Attributes
    ----------
    losses : list of float
        Loss of each step's minibatch before the step, L2 penalty included; shorter than
        `learning_rates` where the training diverged before. All are finite.
    n_rows : list of int
        Rows of each minibatch.
    """

    def __init__(self, learning_rates):
        self._learning_rates = learning_rates
        self.losses = []
        self.n_rows = []

    def __call__(self, session, optimizer, history, config, orders, *others):
        """Run the test, with the arguments of `skmlp.training.minibatch.train`.

        Neither the history nor those who listen to a training hear of it.

        Raises
        ------
        RangeTestOver
            Always.
        """
        batch_size = config.batch_size
        n_batches = -(-orders.n_rows // batch_size)
        optimizer.drop_schedules()
        for i, rate in enumerate(self._learning_rates):
            step = i % n_batches
            if step == 0:
                order = orders.next(1)[0]
            optimizer.learning_rate = float(rate)
            rates = optimizer.next_rates((step, step + 1), n_batches)
            total = session.train(
                optimizer, order, batch_size, (step, step + 1), rates.table, 0.0
            )
            n_rows = min((step + 1) * batch_size, len(order)) - step * batch_size
            if not math.isfinite(total):
                break
            self.losses.append(total / n_rows)
            self.n_rows.append(n_rows)
            if self._has_diverged():
                break
        raise RangeTestOver

    def _has_diverged(self):
        """Whether the last losses are all far above the first ones."""
        losses = self.losses
        first = sum(losses[:_N_FIRST]) / len(losses[:_N_FIRST])
        unit = max(abs(first), first - min(losses))
        return min(losses[-_MAX_ABOVE:]) > first + _MARGIN * unit
