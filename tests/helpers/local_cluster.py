"""A client of a small cluster of Dask in this machine, for the tests.

`LocalCluster` sets OMP_NUM_THREADS and others in the process that starts it, too: the
tests that follow there must not see them. Its HTTP server takes any free port, as the
workers of pytest run several clusters at once.
"""

import contextlib
import os
from unittest import mock

import distributed


@contextlib.contextmanager
def local_client(**options):
    """A client of a `LocalCluster` with these options; the environment is restored."""
    with (
        mock.patch.dict(os.environ),
        distributed.LocalCluster(dashboard_address=":0", **options) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client
