"""Fitted models as ONNX, by converters for skl2onnx.

Importing this module registers converters of `skmlp.MLPClassifier`, `MLPRegressor`,
`MLPAutoencoder` and `HiddenFeatures`, so that ``skl2onnx.to_onnx`` knows them, alone,
in pipelines and within scikit-learn's meta-estimators. It needs the extra ``onnx``:
``pip install "skmlp[onnx]"``. What ONNX cannot express is refused by name.

- `to_onnx`: converts a model, by `skl2onnx.to_onnx`;
- `converters`, `transformers`: what skl2onnx calls;
- `network`, `heads`, `labels`: layers, what outputs mean, classes;
- `graph`, `tracing`: nodes, and how the rules of `skmlp.rules` become such.
"""

try:
    import skl2onnx
except ImportError as error:
    raise ImportError(
        'skmlp.onnx needs skl2onnx and onnx: pip install "skmlp[onnx]".'
    ) from error

from scipy import sparse
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import TunedThresholdClassifierCV

from skmlp.estimators import MLPAutoencoder, MLPClassifier, MLPRegressor
from skmlp.estimators.hidden_features import HiddenFeatures
from skmlp.onnx import converters, transformers
from skmlp.tabular import (
    TabularMLPClassifier,
    TabularMLPRegressor,
    TabularPreprocessor,
)

__all__ = ["to_onnx"]


def to_onnx(model, X, **settings):
    """Convert a fitted model to ONNX.

    Parameters
    ----------
    model : estimator
        An estimator of skmlp, or one of scikit-learn that contains some: a pipeline, a
        search, a `CalibratedClassifierCV`.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Some rows, which tell number and type of the inputs: the converted model
        computes in single precision for float32, in double for float64. Of a sparse X
        the inputs are dense.
    **settings
        Passed on to `skl2onnx.to_onnx`: ``options``, ``target_opset`` (13 or above)
        and others. Options of classifiers: 'zipmap', 'nocl', 'output_class_labels' and
        'raw_scores', as those of scikit-learn's classifiers; of `MLPRegressor`
        'return_std', of `MLPAutoencoder` 'reconstruct'.

    Returns
    -------
    onnx.ModelProto
        Outputs are label and probabilities of a classifier, margins where the loss has
        no probabilities, the prediction of a regressor, the code of an autoencoder.

    Raises
    ------
    NotImplementedError
        For what has no form in ONNX, as an activation of the user's that calls
        functions other than NumPy's, for the estimators for tables, and for
        meta-estimators that skl2onnx itself converts to another model.

    Examples
    --------
    >>> import skmlp.onnx
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> X, y = load_iris(return_X_y=True)
    >>> model = make_pipeline(StandardScaler(), skmlp.MLPClassifier((8,), "gelu",
    ...                       solver="lbfgs", random_state=0)).fit(X, y)
    >>> proto = skmlp.onnx.to_onnx(model, X[:1], options={"zipmap": False})
    >>> [each.name for each in proto.graph.output]
    ['label', 'probabilities']
    """
    _check_parents(model)
    if sparse.issparse(X):
        X = X[:1].toarray()
    return skl2onnx.to_onnx(model, X, **settings)


def _check_parents(model):
    """Refuse meta-estimators that skl2onnx converts to something else.

    Raises
    ------
    NotImplementedError
    """
    for part in [model, *model.get_params(deep=True).values()]:
        if isinstance(part, TunedThresholdClassifierCV):
            raise NotImplementedError(
                "skl2onnx leaves out the threshold of TunedThresholdClassifierCV. "
                "Convert its estimator_, and compare the probability of the second "
                "class with best_threshold_."
            )
        if isinstance(part, CalibratedClassifierCV) and part.method != "sigmoid":
            raise NotImplementedError(
                f"skl2onnx does not convert method={part.method!r} of "
                "CalibratedClassifierCV as scikit-learn computes it. Use "
                "method='sigmoid'."
            )


def _register():
    of = skl2onnx.update_registered_converter
    of(
        MLPClassifier,
        converters.CLASSIFIER,
        converters.shape_classifier,
        converters.convert_classifier,
        parser=converters.parse_classifier,
        options=converters.CLASSIFIER_OPTIONS,
    )
    of(
        MLPRegressor,
        converters.REGRESSOR,
        converters.shape_regressor,
        converters.convert_regressor,
        parser=converters.parse_regressor,
        options=converters.REGRESSOR_OPTIONS,
    )
    of(
        MLPAutoencoder,
        transformers.AUTOENCODER,
        transformers.shape_autoencoder,
        transformers.convert_autoencoder,
        parser=transformers.parse_autoencoder,
        options=transformers.AUTOENCODER_OPTIONS,
    )
    of(
        HiddenFeatures,
        transformers.HIDDEN_FEATURES,
        transformers.shape_hidden_features,
        transformers.convert_hidden_features,
        parser=transformers.parse_hidden_features,
    )
    for table in (TabularMLPClassifier, TabularMLPRegressor, TabularPreprocessor):
        skl2onnx.update_registered_parser(table, transformers.refuse_table)


_register()
