"""The graph of an ONNX model, to which converters add nodes and constants."""

from typing import Any

import numpy as np
from onnx import TensorProto, numpy_helper
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

from skmlp.onnx.tracing import IN_DOUBLES, traced

# Softmax is that of a row, and axes are inputs of ReduceSum, from this version on.
SMALLEST_OPSET = 13
# From here on they are inputs of all reductions.
_AXES_ARE_INPUTS = 18
_REDUCTIONS = {"ReduceMax", "ReduceMean", "ReduceSum"}
# Operators of rows, whose axis has to be said.
_OF_ROWS = {"Softmax", "LogSoftmax", "Concat"}


class Graph:
    """Adds to a model's graph; equal nodes are added once.

    Parameters
    ----------
    scope : skl2onnx Scope
    operator : skl2onnx Operator
        What is converted.
    container : skl2onnx ModelComponentContainer

    Attributes
    ----------
    dtype : numpy dtype
        Precision of the computation: double where the input is, else single.

    Raises
    ------
    NotImplementedError
        For a version of ONNX that is too old.
    """

    def __init__(self, scope, operator, container):
        self._scope, self._container = scope, container
        opset = container.target_opset
        if opset < SMALLEST_OPSET:
            raise NotImplementedError(
                f"A model of skmlp needs target_opset={SMALLEST_OPSET} or above, got "
                f"target_opset={opset}."
            )
        is_double = isinstance(operator.inputs[0].type, DoubleTensorType)
        self.dtype = np.dtype(np.float64 if is_double else np.float32)
        self._nodes: dict[Any, str] = {}

    @property
    def smallest(self):
        """The smallest normal number of the dtype."""
        is_double = self.dtype == np.float64
        return float(np.finfo(np.float64 if is_double else np.float32).tiny)

    @property
    def proto(self):
        """The dtype as ONNX names it."""
        return TensorProto.DOUBLE if self.dtype == np.float64 else TensorProto.FLOAT

    @property
    def tensor_type(self):
        """The dtype's class of tensors."""
        return DoubleTensorType if self.dtype == np.float64 else FloatTensorType

    def cast(self, values):
        """Numbers of the model in the graph's precision.

        Parameters
        ----------
        values : ndarray

        Returns
        -------
        ndarray

        Raises
        ------
        NotImplementedError
            For numbers that are too large for it.
        """
        with np.errstate(over="ignore"):
            cast = np.asarray(values).astype(self.dtype)
        if not np.array_equal(np.isfinite(cast), np.isfinite(values)):
            raise NotImplementedError(
                "The model has numbers that are too large for single precision. Pass "
                "rows of float64 to convert it in double precision."
            )
        return cast

    def constant(self, values):
        """Add a constant and return its name.

        Parameters
        ----------
        values : array-like
            Floats, in any precision, integers or strings.
        """
        values = np.asarray(values)
        name = self._scope.get_unique_variable_name("numbers")
        if values.dtype.kind in "OU":
            texts = [str(each).encode() for each in values.ravel()]
            shape = list(values.shape)
            self._container.add_initializer(name, TensorProto.STRING, shape, texts)
            return name
        is_float = values.dtype.kind == "f"
        values = self.cast(values) if is_float else values.astype(np.int64)
        tensor = numpy_helper.from_array(np.ascontiguousarray(values), name)
        self._container.add_initializer(name, tensor.data_type, None, tensor)
        return name

    def add(self, operator, *inputs, output=None, **attributes):
        """Add a node and return the name of its output.

        Parameters
        ----------
        operator : str
        *inputs : str or array-like
            Names, or constants.
        output : str, default=None
            Name of its output; None for a new one.
        **attributes
            Of the node.
        """
        names = [
            each if isinstance(each, str) else self.constant(each) for each in inputs
        ]
        key = (operator, *names, repr(sorted(attributes.items())))
        if output is None and key in self._nodes:
            return self._nodes[key]
        name = output or self._scope.get_unique_variable_name(operator.lower())
        node = self._scope.get_unique_operator_name(operator)
        self._container.add_node(operator, names, [name], name=node, **attributes)
        self._nodes[key] = name
        return name

    def rename(self, name, output):
        """Give a value the name of an output of the model."""
        self.add("Identity", name, output=output)

    def columns(self, name, indices):
        """Some columns of an array."""
        return self.add("Gather", name, np.asarray(indices, dtype=np.int64), axis=1)

    def by_row(self, operator, name):
        """A reduction of each row to one column."""
        as_input = self._container.target_opset >= _AXES_ARE_INPUTS
        if as_input or operator == "ReduceSum":
            return self.add(operator, name, np.array([1]), keepdims=1)
        return self.add(operator, name, axes=[1], keepdims=1)

    def expression(self, node, name):
        """Add the nodes of an expression and return the name of its value.

        Parameters
        ----------
        node : skmlp.onnx.tracing.Traced
        name : str
            Of its input.
        """
        names: dict[int, str] = {}

        def name_of(part):
            if id(part) not in names:
                names[id(part)] = self._added(part, name, name_of)
            return names[id(part)]

        return name_of(node)

    def _added(self, part, name, name_of):
        """Add one node of an expression; returns its name."""
        if part.operator == "Input":
            return name
        if part.is_constant:
            return self._number(part.value)
        arguments = [name_of(each) for each in part.arguments]
        operator = part.operator
        if operator == "Columns":
            return self.columns(arguments[0], part.value)
        if operator == "IsLargest":
            best = self.add("ArgMax", *arguments, axis=1, keepdims=1)
            return self.add("Equal", best, np.arange(part.columns))
        if operator in _REDUCTIONS:
            return self.by_row(operator, *arguments)
        if operator == "CumSum":
            return self.add(operator, *arguments, np.array(1))
        if self.dtype == np.float64 and operator in IN_DOUBLES:
            form = traced(IN_DOUBLES[operator], part.input(part.columns))
            return self.expression(form, *arguments)
        axis = {"axis": 1} if operator in _OF_ROWS else {}
        return self.add(operator, *arguments, **axis)

    def _number(self, value):
        """A constant of an expression, added once."""
        value = self.cast(value)
        key = ("number", value.shape, value.tobytes())
        if key not in self._nodes:
            self._nodes[key] = self.constant(value)
        return self._nodes[key]
