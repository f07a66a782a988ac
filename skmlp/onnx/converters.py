"""Converters of the estimators, as skl2onnx calls them: outputs, shapes, nodes.

skl2onnx asks three functions of an estimator: a parser, which declares its outputs, a
shape calculator, which sets their types, and a converter, which adds the nodes.
"""

import numpy as np
from onnx import TensorProto
from skl2onnx._parse import (
    _apply_zipmap,
    _parse_sklearn_classifier,
    _parse_sklearn_simple_model,
)
from skl2onnx.common.data_types import (
    DoubleTensorType,
    FloatTensorType,
    Int64TensorType,
    SequenceType,
    StringTensorType,
    guess_tensor_type,
)
from sklearn.utils.validation import check_is_fitted

from skmlp.estimators.class_priors import DECISIONS, PROBABILITIES
from skmlp.onnx.graph import Graph
from skmlp.onnx.heads import column_head, head_of, is_by_column
from skmlp.onnx.labels import as_labels
from skmlp.onnx.network import activated, raw_outputs
from skmlp.onnx.tracing import Traced, traced
from skmlp.rules.activations import IDENTITY, activation_rule, logistic

CLASSIFIER, REGRESSOR = "SkmlpMLPClassifier", "SkmlpMLPRegressor"
CLASSIFIER_OPTIONS = {
    "zipmap": [True, False, "columns"],
    "output_class_labels": [False, True],
    "nocl": [True, False],
    "raw_scores": [True, False],
}
REGRESSOR_OPTIONS = {"return_std": [True, False]}


def declared(scope, model, inputs, alias, outputs):
    """An operator of the model whose outputs are named and typed."""
    operator = scope.declare_local_operator(alias, model)
    operator.inputs = inputs
    for name, type_ in outputs:
        operator.outputs.append(scope.declare_local_variable(name, type_))
    return operator.outputs


def number_type(operator):
    """The class of tensors of the graph's precision."""
    return type(guess_tensor_type(operator.inputs[0].type))


def check_inputs(operator, n_features):
    """Refuse inputs that are no numbers, or of another number of columns.

    Raises
    ------
    ValueError
    """
    name = type(operator.raw_operator).__name__
    for each in operator.inputs:
        if isinstance(each.type, StringTensorType):
            raise ValueError(
                f"{name} needs numbers as input, but {each.raw_name!r} has strings."
            )
    columns = [(each.type.shape or [None, None])[-1] for each in operator.inputs]
    if all(isinstance(each, int) for each in columns) and sum(columns) != n_features:
        raise ValueError(
            f"X has {sum(columns)} features, but {name} is expecting {n_features} "
            "features as input."
        )


def rows(operator):
    """The number of rows of the input, if it is known."""
    return operator.inputs[0].get_first_dimension()


def joined_inputs(graph, operator):
    """The name of X in the graph's precision; several inputs are its columns."""
    names = [
        graph.add("Cast", each.full_name, to=graph.proto) for each in operator.inputs
    ]
    return names[0] if len(names) == 1 else graph.add("Concat", *names, axis=1)


def parse_classifier(scope, model, inputs, custom_parsers=None):
    """Declare label and probabilities; these as maps, if the option 'zipmap' says so.

    For several columns of classes a sequence of arrays, one a column.
    """
    check_is_fitted(model)
    if not is_by_column(model._labels):
        return _parsed_classifier(scope, model, inputs, custom_parsers)
    arrays = SequenceType(guess_tensor_type(inputs[0].type))
    outputs = [("label", Int64TensorType()), ("probabilities", arrays)]
    return declared(scope, model, inputs, CLASSIFIER, outputs)


def _parsed_classifier(scope, model, inputs, custom_parsers):
    """As skl2onnx declares the outputs of classifiers.

    But for maps of numbers in double precision, which ONNX does not have: they are
    converted to single precision first.
    """
    options = scope.get_options(model, {"zipmap": True})
    is_double = isinstance(inputs[0].type, DoubleTensorType)
    is_map = options["zipmap"] is True and not options.get("output_class_labels")
    if not (is_double and is_map):
        return _parse_sklearn_classifier(scope, model, inputs, custom_parsers)
    label, probabilities = _parse_sklearn_simple_model(
        scope, model, inputs, custom_parsers
    )
    cast = scope.declare_local_operator("SklearnCast")
    cast.inputs = [probabilities]
    single = scope.declare_local_variable("probabilities_single", FloatTensorType())
    cast.outputs.append(single)
    return _apply_zipmap(True, scope, model, FloatTensorType(), [label, single])


def shape_classifier(operator):
    """Set the types of label and probabilities."""
    model, n_rows = operator.raw_operator, rows(operator)
    check_inputs(operator, model.n_features_in_)
    labels, numbers = model._labels, number_type(operator)
    has_indices = operator.scope_inst.get_options(model, {"nocl": False})["nocl"]
    values = as_labels(labels, has_indices=has_indices)
    is_text = values[0].dtype.kind == "U"
    n_columns = len(values)
    shape = [n_rows, n_columns] if labels.multilabel or n_columns > 1 else [n_rows]
    label_type = StringTensorType if is_text else Int64TensorType
    operator.outputs[0].set_type(label_type(shape))
    if is_by_column(labels):
        operator.outputs[1].set_type(SequenceType(numbers([n_rows, None])))
    else:
        n_classes = n_columns if labels.multilabel else len(values[0])
        operator.outputs[1].set_type(numbers([n_rows, n_classes]))


def convert_classifier(scope, operator, container):
    """Add the nodes of an `MLPClassifier`."""
    model = operator.raw_operator
    check_is_fitted(model)
    labels, graph = model._labels, Graph(scope, operator, container)
    options = container.get_options(model, {"nocl": False, "raw_scores": False})
    values = as_labels(labels, has_indices=options.get("nocl", False))
    network, params = model._fitted_network()
    output = activation_rule(network.output)
    has_scores = options.get("raw_scores", False) or network.output == IDENTITY
    if not (output.by_rows or output.value is logistic or network.output == IDENTITY):
        raise NotImplementedError(
            f"A classifier with out_activation_={network.output!r} has no form in ONNX."
        )
    name = raw_outputs(graph, network, params, joined_inputs(graph, operator))
    raw = Traced.input(network.sizes[-1])
    decided, likely = (
        _shifted(model, raw, what) for what in (DECISIONS, PROBABILITIES)
    )
    found, numbers = [], []
    for columns, head in _heads(labels, values):
        evidence = head.evidence(decided[:, columns], labels)
        if has_scores:
            form = head.scores(decided[:, columns], labels, output.by_rows)
        else:
            form = head.probabilities(likely[:, columns], labels, output.by_rows)
            form = np.maximum(form, graph.smallest)
        found.append((evidence, head))
        numbers.append(graph.expression(form, name))
    label, probabilities = (each.full_name for each in operator.outputs[:2])
    if is_by_column(labels):
        codes = [graph.expression(evidence, name) for evidence, _ in found]
        parts = [
            graph.add(
                "Gather", graph.constant(classes), graph.add("ArgMax", code, axis=1)
            )
            for classes, code in zip(values, codes, strict=True)
        ]
        graph.add("Concat", *parts, axis=1, output=label)
        graph.add("SequenceConstruct", *numbers, output=probabilities)
        return
    graph.rename(numbers[0], probabilities)
    code = graph.expression(found[0][0], name)
    if labels.multilabel:
        is_there = graph.add("Greater", code, np.array(0.0))
        graph.add("Cast", is_there, to=TensorProto.INT64, output=label)
    else:
        index = graph.add("ArgMax", code, axis=1, keepdims=0)
        graph.add("Gather", graph.constant(values[0]), index, output=label)


def _heads(labels, values):
    """The columns of the raw outputs that belong together, and what they mean."""
    if not is_by_column(labels):
        return [(slice(None), head_of(labels))]
    ends = np.cumsum([len(classes) for classes in values])
    return [
        (slice(end - len(classes), end), column_head(len(classes)))
        for end, classes in zip(ends, values, strict=True)
    ]


def _shifted(model, raw, what):
    """Raw outputs with the constants of another prevalence, if there are any."""
    offsets = getattr(model, "_prior_offsets", None)
    offset = None if offsets is None else offsets[what]
    return raw if offset is None else raw + offset


def parse_regressor(scope, model, inputs, custom_parsers=None):
    """Declare the prediction, and with the option 'return_std' its spread."""
    check_is_fitted(model)
    numbers = guess_tensor_type(inputs[0].type)
    outputs = [("variable", numbers)]
    if scope.get_options(model, {"return_std": False}).get("return_std", False):
        if model._decoder.std is None:
            raise ValueError(
                "The option return_std=True needs a model of a loss that learns "
                "standard deviations."
            )
        outputs.append(("std", guess_tensor_type(inputs[0].type)))
    return declared(scope, model, inputs, REGRESSOR, outputs)


def shape_regressor(operator):
    """Set the types of the predictions: a column each target or quantile."""
    model = operator.raw_operator
    check_inputs(operator, model.n_features_in_)
    prediction = _of_model(model, model._decoder.decode)
    for each in operator.outputs:
        each.set_type(number_type(operator)([rows(operator), prediction.columns]))


def decoded(decode, n_outputs, params):
    """What a decoder makes of the activated outputs, as an expression of these.

    Raises
    ------
    NotImplementedError
        If it does what has no form in ONNX.
    """
    try:
        return traced(decode, Traced.input(n_outputs), params)
    except Exception as error:
        raise NotImplementedError(
            f"Predictions of this loss have no form in ONNX: {error}."
        ) from error


def _of_model(model, decode):
    return decoded(decode, len(model.intercepts_[-1]), model._decoder.params)


def convert_regressor(scope, operator, container):
    """Add the nodes of an `MLPRegressor`."""
    model = operator.raw_operator
    check_is_fitted(model)
    graph = Graph(scope, operator, container)
    network, params = model._fitted_network()
    name = raw_outputs(graph, network, params, joined_inputs(graph, operator))
    name = activated(graph, network.output, name)
    scale = model._target_scale()
    predicted = _of_model(model, model._decoder.decode)
    if scale.scale is not None:
        predicted = predicted * scale.scale + scale.mean
    graph.rename(graph.expression(predicted, name), operator.outputs[0].full_name)
    if len(operator.outputs) > 1:
        spread = _of_model(model, model._decoder.std)
        if scale.scale is not None:
            spread = spread * scale.scale
        graph.rename(graph.expression(spread, name), operator.outputs[1].full_name)
