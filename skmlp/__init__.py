"""Multi-layer perceptrons for scikit-learn, trained by Numba kernels on CPUs and GPUs.

The public names:

- `MLPClassifier`, `MLPRegressor`: the estimators, with scikit-learn's interface;
- `TabularMLPClassifier`, `TabularMLPRegressor`: ensembles for tables with categories,
  dates and missing values; `TabularPreprocessor` encodes such a table;
- `MLPAutoencoder`: learns features without a target;
- `HiddenFeatures`: a hidden layer of such a network as a transformer;
- `Activation`, `Loss`: activations and losses defined by the user;
- `LossCurveDisplay`, `ActivationDisplay`, `WeightsDisplay`,
  `PredictionIntervalDisplay`: pictures, by matplotlib;
- `learning_rate_range`: suggests a learning rate, as a `LearningRateRangeDisplay`;
- `diagnose`: which units are dead or saturated and where gradients vanish, as a
  `LayerTable` with a `LayerReport` per hidden layer;
- `from_sklearn`: a fitted network of scikit-learn as one of skmlp;
- `precompile`: compiles kernels ahead of the first fit, or for an image;
- `show_versions`: prints what skmlp runs on, as ``python -m skmlp`` does;
- `skmlp.exceptions`: the warnings.

`skmlp.onnx.to_onnx`, with the extra ``onnx``, converts fitted models;
`skmlp.dask`, with the extra ``dask``, trains on a cluster. Only the modules `skmlp`,
`skmlp.exceptions`, `skmlp.onnx` and `skmlp.dask` are public. All others are private:
they may move and change in any release. Importing skmlp does not import Numba and
compiles nothing; the first fit does. The first picture imports matplotlib.
"""

# First, before the files of the modules below can change.
from skmlp.compiler import imported_code as _imported_code  # noqa: F401

# isort: split
from skmlp import exceptions
from skmlp._precompile import precompile
from skmlp.display import (
    ActivationDisplay,
    LearningRateRangeDisplay,
    LossCurveDisplay,
    PredictionIntervalDisplay,
    WeightsDisplay,
    learning_rate_range,
)
from skmlp.estimators import MLPAutoencoder, MLPClassifier, MLPRegressor
from skmlp.estimators.diagnosis import LayerReport, LayerTable, diagnose
from skmlp.estimators.from_sklearn import from_sklearn
from skmlp.estimators.hidden_features import HiddenFeatures
from skmlp.rules.activations import Activation
from skmlp.rules.loss_row import Loss
from skmlp.system_info import show_versions
from skmlp.tabular import (
    TabularMLPClassifier,
    TabularMLPRegressor,
    TabularPreprocessor,
)

__version__ = "0.1.0"

__all__ = [
    "Activation",
    "ActivationDisplay",
    "HiddenFeatures",
    "LayerReport",
    "LayerTable",
    "LearningRateRangeDisplay",
    "Loss",
    "LossCurveDisplay",
    "MLPAutoencoder",
    "MLPClassifier",
    "MLPRegressor",
    "PredictionIntervalDisplay",
    "TabularMLPClassifier",
    "TabularMLPRegressor",
    "TabularPreprocessor",
    "WeightsDisplay",
    "__version__",
    "diagnose",
    "exceptions",
    "from_sklearn",
    "learning_rate_range",
    "precompile",
    "show_versions",
]


def __dir__():
    return list(__all__)


# Pickles and tracebacks name the public module: private ones may move.
for _public in (
    Activation,
    ActivationDisplay,
    HiddenFeatures,
    LayerReport,
    LayerTable,
    LearningRateRangeDisplay,
    Loss,
    LossCurveDisplay,
    MLPAutoencoder,
    MLPClassifier,
    MLPRegressor,
    PredictionIntervalDisplay,
    TabularMLPClassifier,
    TabularMLPRegressor,
    TabularPreprocessor,
    WeightsDisplay,
    diagnose,
    from_sklearn,
    learning_rate_range,
    precompile,
    show_versions,
):
    _public.__module__ = __name__
del _public
