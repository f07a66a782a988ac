"""A network as nodes of an ONNX graph: from X to the values of its layers."""

import numpy as np

from skmlp.network import (
    embedding_part,
    fold_batch_norm,
    norm_state,
    views,
)
from skmlp.onnx.tracing import Traced, mean, softmax, traced
from skmlp.rules.activations import activation_rule, relu
from skmlp.rules.normalization import EPSILON

# Activations that runtimes fuse with the product before them, as an operator.
_OPERATORS = {relu: "Relu"}


def activated(graph, activation, name, columns=None):
    """Add an activation and return the name of its value.

    Parameters
    ----------
    graph : skmlp.onnx.graph.Graph
    activation : str or Activation
    name : str
        Of its input.
    columns : int, default=None
        Units of the layer.

    Raises
    ------
    NotImplementedError
        For a function of the user's that has no form in ONNX.
    """
    row = activation_rule(activation)
    if row.by_rows:
        return graph.expression(softmax(Traced.input(columns)), name)
    if row.value in _OPERATORS:
        return graph.add(_OPERATORS[row.value], name)
    try:
        form = traced(row.value, Traced.input(columns))
    except Exception as error:
        raise NotImplementedError(
            f"The activation {row.name!r} has no form in ONNX: {error}. Arithmetic, "
            "comparisons and NumPy's mathematical functions have one."
        ) from error
    return graph.expression(form, name)


def raw_outputs(graph, network, params, x):
    """Add a network and return the name of its raw outputs; see `layer_outputs`."""
    return layer_outputs(graph, network, params, x, len(network.sizes) - 1)[-1]


def layer_outputs(graph, network, params, x, n_layers):
    """Add the first layers of a network and return the names of their values.

    Parameters
    ----------
    graph : skmlp.onnx.graph.Graph
    network : skmlp.network.Network
    params : ndarray
        Flat vector.
    x : str
        Name of X, in the graph's precision.
    n_layers : int

    Returns
    -------
    list of str
        Hidden layers are activated, the last layer is not.
    """
    # In the graph's precision before anything is folded.
    network, params = fold_batch_norm(network, graph.cast(params))
    coefs, intercepts = views(network, params)
    scales = norm_state(network, params).scales
    if network.embedding is not None:
        x, coefs = _embedded(graph, network, params, x)
    names = [x]
    for i, (coef, intercept) in enumerate(zip(coefs, intercepts, strict=True)):
        if i == n_layers:
            break
        name = graph.add("MatMul", names[-1], coef)
        if i < len(scales):
            normed = graph.expression(_normed(coef.shape[1]), name)
            name = graph.add("Mul", normed, scales[i])
        name = graph.add("Add", name, intercept)
        if i < len(network.activations):
            name = activated(graph, network.activations[i], name, coef.shape[1])
        names.append(name)
    return names[1:]


def _normed(columns):
    """Rows less their mean, over their standard deviation."""
    z = Traced.input(columns)
    centered = z - mean(z)
    return centered / np.sqrt(mean(centered * centered) + EPSILON)


def _embedded(graph, network, params, name):
    """X with the encodings of its embedded columns, and the weights that take them.

    The matrices of the embedding are multiplied into the first layer's weights.
    """
    embedding = network.embedding
    coefs, _ = views(network, params)
    matrices = embedding.matrices(embedding_part(network, params))
    rows = np.split(coefs[0][embedding.n_features :], len(matrices))
    blocks = [matrix @ block for matrix, block in zip(matrices, rows, strict=True)]
    first = np.concatenate([coefs[0][: embedding.n_features], *blocks])
    column_of_bin = np.repeat(embedding.columns, embedding.n_bins)
    all_edges = [graph.cast(edges) for edges in embedding.edges]
    begins = np.concatenate([edges[:-1] for edges in all_edges])
    widths = np.concatenate([np.diff(edges) for edges in all_edges])
    if not np.all(widths > 0):
        raise NotImplementedError(
            "Edges of bins, in bin_edges_, are one number in single precision. Pass "
            "rows of float64 to convert the model in double precision."
        )
    encoded = graph.columns(name, column_of_bin)
    encoded = graph.add("Sub", encoded, begins)
    encoded = graph.add("Div", encoded, widths)
    encoded = graph.add("Clip", encoded, np.array(0.0), np.array(1.0))
    return graph.add("Concat", name, encoded, axis=1), [first, *coefs[1:]]
