"""A session whose minibatches are shared by several ranks.

Synchronous data-parallel training: the gradients of the shares are added by an
all-reduce before every step, so that the step is that of a single process with the
whole minibatch. With `sync_every` greater than one the ranks make steps of their own
and average parameters and moments now and then: local SGD (Stich, 2019, "Local SGD
converges fast and communicates little"; McMahan et al., 2017, "Communication-efficient
learning of deep networks from decentralized data").
"""

import numpy as np

from skmlp.backends import train_one_by_one


def with_scalar(vector, scalar):
    """A vector with a number appended, in two parts: in float32 one would round it."""
    high = vector.dtype.type(scalar)
    return np.append(vector, [high, vector.dtype.type(scalar - float(high))])


def without_scalar(vector):
    """The vector, and the number that `with_scalar` has appended."""
    return vector[:-2], float(vector[-2]) + float(vector[-1])


class DataParallelSession:
    """One fit of several ranks (see `skmlp.backends.Session`).

    Parameters
    ----------
    session : skmlp.backends.SharedSession
        Of this rank's rows.
    collective : skmlp.training.collective.Collective
    fraction : float
        This rank's part of the training rows.
    sync_every : int or inf
        Minibatches from one exchange to the next; the last of an epoch has one, too.
    """

    def __init__(self, session, collective, fraction, sync_every):
        self._session = session
        self._collective = collective
        self._fraction = fraction
        self._sync_every = sync_every
        self.gradient_norms: list[float] | None = []
        # Sum of this rank's losses since the last exchange.
        self._pending = 0.0

    @property
    def params(self):
        """The current parameters, between two exchanges those of this rank."""
        return self._session.params

    def load_params(self, params):
        """Replace the current parameters by others."""
        self._session.load_params(params)

    def rewind(self, params, n_steps):
        """Go back to the parameters of some steps ago."""
        self._session.rewind(params, n_steps)

    def train(self, optimizer, order, batch_size, batch_bounds, rates, total):
        """Train on some minibatches of an epoch, whose order is a `ShardedOrder`."""
        is_exact = self._sync_every == 1
        last = order.n_batches(batch_size) - 1
        for b, step in zip(range(*batch_bounds), rates, strict=True):
            share = order.share(b, batch_size)
            if is_exact:
                loss, norm = self._global_step(optimizer, share, step)
                total += share.n_rows * loss
            else:
                norm = self._local_step(optimizer, share, step)
                if b == last or (b + 1) % self._sync_every == 0:
                    total += self._average(optimizer)
            if b == 0:
                self.gradient_norms = [norm]
        return total

    def _global_step(self, optimizer, share, step):
        """A step by the gradient of the whole minibatch; its loss, and the norm."""
        loss, gradient = self._session.gradient(share, step)
        summed = self._collective.all_reduce("gradient", with_scalar(gradient, loss))
        gradient, loss = without_scalar(summed)
        penalty, norm = self._session.apply(optimizer, gradient, share.n_rows, step)
        return loss + penalty, norm

    def _local_step(self, optimizer, share, step):
        """A step by the gradient of the share alone; returns its norm."""
        n_rows = len(share.row_ids)
        if n_rows == 0:
            return 0.0
        loss, gradient = self._session.gradient(share._replace(n_rows=n_rows), step)
        penalty, norm = self._session.apply(optimizer, gradient, n_rows, step)
        self._pending += n_rows * (loss + penalty)
        return norm

    def _average(self, optimizer):
        """Average parameters and moments; the sum of all ranks' losses since then."""
        params, slots = self._session.params, optimizer.slots
        own = self._fraction * np.concatenate([params, slots.ravel()])
        own = own.astype(params.dtype, copy=False)
        summed = self._collective.all_reduce("average", with_scalar(own, self._pending))
        averaged, losses = without_scalar(summed)
        self._pending = 0.0
        slots[:] = averaged[len(params) :].reshape(slots.shape)
        self._session.rewind(averaged[: len(params)], 0)
        return losses

    def train_epochs(self, optimizer, orders, batch_size, rates):
        """Train on whole epochs."""
        return train_one_by_one(self, optimizer, orders, batch_size, rates)

    def sync(self, optimizer):
        """Copy the optimizer's vectors to its `slots`."""
        self._session.sync(optimizer)

    def loss_and_gradient(self, params):
        """Loss and gradient over all ranks' rows.

        The problem of each rank has its part of the penalty. The parameters are those
        of rank 0: another processor might have rounded otherwise.
        """
        params = self._collective.broadcast("parameters", params)
        loss, gradient = self._session.loss_and_gradient(params)
        own = self._fraction * np.append(gradient, loss)
        summed = self._collective.all_reduce("loss and gradient", own)
        return float(summed[-1]), summed[:-1]

    def hidden_outputs(self):
        """Outputs of the hidden layers for rows of this rank's last share."""
        return self._session.hidden_outputs()

    def outputs(self, x, row_ids):
        """Raw outputs of the current parameters for rows of this rank's X."""
        return self._session.outputs(x, row_ids)
