"""Real data from a folder that the user names, since the benchmarks download nothing.

The folder holds a module ``load.py`` with a function ``load(name)``, whose result has
the attributes ``X_train``, ``y_train``, ``X_test`` and ``y_test``, and for texts a
function ``tfidf(texts, max_features=...)``, whose first result is a CSR matrix.
"""

import importlib.util
from pathlib import Path


def loader(folder):
    """The module ``load.py`` of a folder.

    Parameters
    ----------
    folder : str

    Returns
    -------
    module
    """
    path = Path(folder) / "load.py"
    spec = importlib.util.spec_from_file_location("benchmark_data", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
