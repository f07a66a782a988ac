"""The network's architecture from the parameters: sizes, activations, initial weights.

All checks of these parameters stand here; they run before the training starts.
"""

from numbers import Integral

import numpy as np

from skmlp.estimators.names import of_option, with_sentence
from skmlp.network import (
    init_params,
    init_params_beside_layers,
    initializers_of,
    views,
)
from skmlp.rules.activations import ACTIVATIONS, IDENTITY, Activation
from skmlp.rules.checks import check_activation
from skmlp.rules.initializers import INITIALIZERS
from skmlp.rules.own_functions import canonical


class OwnActivation(Activation):
    """An activation of the user's, its functions replaced by canonical ones.

    Attributes
    ----------
    given : Activation
        As it was passed, for pickles.
    """

    given: Activation

    @classmethod
    def of(cls, given):
        """The activation of these functions."""
        value, slope = canonical(given.value), canonical(given.slope)
        own = cls(*given._replace(value=value, slope=slope))
        own.given = given
        return own


def with_own(activations):
    """Activations of layers, those of the user's as `OwnActivation`."""
    return tuple(
        OwnActivation.of(each) if isinstance(each, Activation) else each
        for each in activations
    )


def as_given(activations):
    """The opposite of `with_own`."""
    return tuple(getattr(each, "given", each) for each in activations)


def hidden_sizes(hidden_layer_sizes):
    """Units of the hidden layers, from the parameter ``hidden_layer_sizes``.

    Returns
    -------
    list of int

    Raises
    ------
    ValueError
    """
    sizes = hidden_layer_sizes
    sizes = list(sizes) if np.iterable(sizes) else [sizes]
    if any(isinstance(size, bool) for size in sizes):
        raise TypeError(f"hidden_layer_sizes must be integers, got {sizes}.")
    if not all(isinstance(size, Integral) for size in sizes):
        raise ValueError(f"hidden_layer_sizes must be integers, got {sizes}.")
    if any(size <= 0 for size in sizes):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
    return [int(size) for size in sizes]


def resolve_activations(activation, n_hidden):
    """Activations of the hidden layers, from the parameter ``activation``.

    Returns
    -------
    tuple of str or OwnActivation

    Raises
    ------
    ValueError
    """
    one = isinstance(activation, str | Activation)
    activations = (activation,) * n_hidden if one else tuple(activation)
    if len(activations) != n_hidden:
        raise ValueError(
            f"activation must be one for all hidden layers or a list of {n_hidden}, "
            f"one a layer, got {len(activations)}: {activation!r}."
        )
    activations = with_own(activations)
    for layer in activations:
        if isinstance(layer, Activation):
            _check_initializer(layer)
            check_activation(layer)
        elif not isinstance(layer, str) or layer not in ACTIVATIONS:
            sentence = of_option("activation", layer, ACTIVATIONS)
            raise ValueError(
                with_sentence(
                    f"activation must be among {sorted(ACTIVATIONS)}, got {layer!r}.",
                    sentence,
                )
            )
    return activations


def _check_initializer(activation):
    if activation.init not in INITIALIZERS:
        raise ValueError(
            f"activation {activation.name!r} has init={activation.init!r}, which must "
            f"be one of {', '.join(map(repr, sorted(INITIALIZERS)))}."
        )


def initial_params(network, weight_init, activation, generator, dtype):
    """Initial parameters of a network, from the parameter ``weight_init``.

    Parameters
    ----------
    network : Network
    weight_init : str or tuple (coefs, intercepts)
    activation : str, Activation or sequence of them
        The parameter of that name.
    generator : numpy.random.RandomState
    dtype : numpy dtype

    Returns
    -------
    ndarray
        Flat vector.

    Raises
    ------
    ValueError
        If arrays are not of the network's shapes.
    """
    if not isinstance(weight_init, str):
        return _from_arrays(network, weight_init, generator, dtype)
    one = isinstance(activation, str | Activation)
    last = activation if one else (IDENTITY, *network.activations)[-1]
    initializers = initializers_of(network, weight_init, last)
    return init_params(network, initializers, generator, dtype)


def _from_arrays(network, weight_init, generator, dtype):
    """The initial parameters that the user passes as arrays, copied and checked."""
    if len(weight_init) != 2 or not all(np.iterable(part) for part in weight_init):
        raise ValueError(
            "weight_init must be 'auto', the name of an initializer "
            f"({', '.join(sorted(INITIALIZERS))}) or a pair of lists of arrays (coefs, "
            f"intercepts), got {type(weight_init).__name__} of {len(weight_init)} "
            "elements."
        )
    coefs, intercepts = weight_init
    shapes = [[np.shape(array) for array in arrays] for arrays in (coefs, intercepts)]
    expected = [network.shapes, [(units,) for units in network.sizes[1:]]]
    if shapes != expected:
        raise ValueError(
            f"weight_init has coefs and intercepts of shapes {shapes}, but the network "
            f"has {expected}."
        )
    vector = init_params_beside_layers(network, generator, dtype)
    for parts, arrays in zip(views(network, vector), (coefs, intercepts), strict=True):
        for part, array in zip(parts, arrays, strict=True):
            part[:] = array
    if not np.isfinite(vector).all():
        raise ValueError("weight_init has elements that are not finite.")
    return vector
