"""To undo epochs that were trained in one call with those before them.

A listener that takes no snapshots is told of some epochs at a time. If it stops the
training after one of them, the network must be the one after that epoch, to the last
bit: the call is taken back, and as many epochs as are wanted are trained again.
"""


class BeforeCall:
    """The state before a call of several epochs.

    Parameters
    ----------
    session : skmlp.backends.Session
    optimizer : skmlp.training.optimizer_state.OptimizerState
    orders : skmlp.training.sampling.Orders
    """

    def __init__(self, session, optimizer, orders):
        session.sync(optimizer)
        self._session = session
        self._optimizer = optimizer
        self._orders = orders
        self._params = session.params.copy()
        self._copy = optimizer.copy(optimizer.slots.dtype)
        self._mark = orders.mark()

    def train_again(self, n_epochs, batch_size):
        """Train as many epochs anew; the optimizer's schedule has taken them already.

        Parameters
        ----------
        n_epochs, batch_size : int
        """
        session, optimizer, before = self._session, self._optimizer, self._copy
        session.rewind(self._params, optimizer.t - before.t)
        self._orders.go_back(self._mark)
        orders = self._orders.next(n_epochs)
        n_batches = -(-self._orders.n_rows // batch_size)
        rates = before.next_rates((0, n_epochs * n_batches), n_batches).table
        optimizer.t, optimizer.slots[:] = before.t, before.slots
        session.train_epochs(optimizer, orders, batch_size, rates)
