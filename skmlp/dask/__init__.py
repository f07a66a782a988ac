"""Training on a Dask cluster, with data that fit no single machine.

It needs the extra ``dask``: ``pip install "skmlp[dask]"``, on the client and on all
workers.

- `DaskMLPClassifier`, `DaskMLPRegressor`: the estimators;
- `Epoch`: what they tell of an epoch.

Within the folder, from the client to the wire:

- `estimators`, `base`, `parameters`, `docs`, `prediction`, `progress`: what users see;
- `cluster_fit`, `watching`, `partitions`: a fit as the client leads it;
- `training`, `checkpoints`, `worker_warnings`: a worker's part of it;
- `collective`, `mailbox`: what workers tell each other.
"""

try:
    import dask.array
    import dask.dataframe  # noqa: F401
    import distributed  # noqa: F401
except ImportError as error:
    raise ImportError(
        'skmlp.dask needs dask and distributed: pip install "skmlp[dask]".'
    ) from error

from skmlp.dask.estimators import DaskMLPClassifier, DaskMLPRegressor
from skmlp.dask.progress import Epoch

__all__ = ["DaskMLPClassifier", "DaskMLPRegressor", "Epoch"]

# Pickles and tracebacks name the public module: private ones may move.
for _public in (DaskMLPClassifier, DaskMLPRegressor, Epoch):
    _public.__module__ = __name__
del _public
