"""The network of a fitted model, put together once for many predictions.

Users may edit the weights in place, or put others there. Weights that are views on one
vector are read from it at every prediction, so that edits count. What is put in their
place is another object, which shows by its identity.
"""


class FittedNetwork:
    """A network, its parameters, and what predicts with them.

    Parameters
    ----------
    network : Network
        Without its loss.
    params : ndarray
        The flat vector.
    """

    def __init__(self, network, params):
        self.network = network
        self.params = params
        # The backend of the last prediction, and its function that predicts.
        self._predictor = None, None

    def predictor(self, backend):
        """What predicts on a backend, by `skmlp.backends.Backend.predictor`."""
        of, predict = self._predictor
        if of is not backend:
            predict = backend.predictor(self.network, self.params)
            self._predictor = backend, predict
        return predict


class Prepared:
    """Holds the `FittedNetwork` of the last prediction, and what it was made of.

    An estimator has one from its fit on, so that predictions do not set attributes.
    Threads that predict at once exchange it as a whole.
    """

    def __init__(self):
        self._held = None

    def get(self, sources):
        """The network of these objects; None if it was made of others."""
        held = self._held
        # The objects are held, so that no others can have their addresses.
        if held is not None and held[0] == [*map(id, sources)]:
            return held[2]
        return None

    def keep(self, sources, fitted):
        """Hold a network that was made of some objects."""
        self._held = [*map(id, sources)], sources, fitted
