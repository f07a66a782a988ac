"""Converters of what transforms X: the autoencoder and hidden features.

And the refusal of the estimators for tables.
"""

from skl2onnx._parse import _parse_sklearn
from skl2onnx.common.data_types import guess_tensor_type
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skmlp.estimators.prediction import layer_index
from skmlp.onnx.converters import (
    check_inputs,
    declared,
    decoded,
    joined_inputs,
    number_type,
    rows,
)
from skmlp.onnx.graph import Graph
from skmlp.onnx.network import activated, layer_outputs

AUTOENCODER, HIDDEN_FEATURES = "SkmlpMLPAutoencoder", "SkmlpHiddenFeatures"
AUTOENCODER_OPTIONS = {"reconstruct": [True, False]}


def parse_autoencoder(scope, model, inputs, custom_parsers=None):
    """Declare the code, and with the option 'reconstruct' the reconstruction."""
    check_is_fitted(model)
    outputs = [("code", guess_tensor_type(inputs[0].type))]
    if scope.get_options(model, {"reconstruct": False}).get("reconstruct", False):
        outputs.append(("reconstruction", guess_tensor_type(inputs[0].type)))
    return declared(scope, model, inputs, AUTOENCODER, outputs)


def shape_autoencoder(operator):
    """Set the types of the code and of the reconstruction."""
    model = operator.raw_operator
    check_inputs(operator, model.n_features_in_)
    columns = [len(model.intercepts_[model.layer_]), model.n_features_in_]
    for each, n_columns in zip(operator.outputs, columns, strict=False):
        each.set_type(number_type(operator)([rows(operator), n_columns]))


def convert_autoencoder(scope, operator, container):
    """Add the nodes of an `MLPAutoencoder`."""
    model = operator.raw_operator
    graph = Graph(scope, operator, container)
    network, params = model._fitted_network()
    is_whole = len(operator.outputs) > 1
    n_layers = len(network.sizes) - 1 if is_whole else model.layer_ + 1
    x = joined_inputs(graph, operator)
    names = layer_outputs(graph, network, params, x, n_layers)
    graph.rename(names[model.layer_], operator.outputs[0].full_name)
    if is_whole:
        loss, loss_params = model._trained_loss()
        name = activated(graph, network.output, names[-1])
        form = decoded(loss.decode, network.sizes[-1], loss_params)
        graph.rename(graph.expression(form, name), operator.outputs[1].full_name)


def _network_of(estimator):
    """The network that an estimator ends with, and the steps before it."""
    steps = []
    while isinstance(estimator, FrozenEstimator | Pipeline):
        if isinstance(estimator, FrozenEstimator):
            estimator = estimator.estimator
            continue
        steps += [step for _, step in estimator.steps[:-1]]
        estimator = estimator.steps[-1][1]
    return estimator, [step for step in steps if step not in (None, "passthrough")]


def parse_hidden_features(scope, model, inputs, custom_parsers=None):
    """Declare the features, behind the steps of a pipeline before the network."""
    check_is_fitted(model)
    _, steps = _network_of(model.estimator_)
    for step in steps:
        inputs = _parse_sklearn(scope, step, inputs, custom_parsers=custom_parsers)
    outputs = [("features", guess_tensor_type(inputs[0].type))]
    return declared(scope, model, inputs, HIDDEN_FEATURES, outputs)


def _layer(model):
    """The network of `HiddenFeatures` and the index of its layer, not negative."""
    network, _ = _network_of(model.estimator_)
    return network, layer_index(model.layer, len(network.coefs_) - 1)


def shape_hidden_features(operator):
    """Set the type of the features."""
    network, layer = _layer(operator.raw_operator)
    check_inputs(operator, network.n_features_in_)
    shape = [rows(operator), len(network.intercepts_[layer])]
    operator.outputs[0].set_type(number_type(operator)(shape))


def convert_hidden_features(scope, operator, container):
    """Add the nodes of a `HiddenFeatures`."""
    estimator, layer = _layer(operator.raw_operator)
    graph = Graph(scope, operator, container)
    network, params = estimator._fitted_network()
    x = joined_inputs(graph, operator)
    names = layer_outputs(graph, network, params, x, layer + 1)
    graph.rename(names[layer], operator.outputs[0].full_name)


def refuse_table(scope, model, inputs, custom_parsers=None):
    """Refuse what encodes tables.

    Raises
    ------
    NotImplementedError
    """
    raise NotImplementedError(
        f"{type(model).__name__} has no form in ONNX: it encodes categories, dates and "
        "missing values by rules that ONNX has no operators for. Train MLPClassifier "
        "or MLPRegressor in a Pipeline with a ColumnTransformer of scikit-learn's "
        "encoders instead, which converts."
    )
