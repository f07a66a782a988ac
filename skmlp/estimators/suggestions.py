"""Did you mean: a sentence behind the message about a name that is not known.

The messages themselves stay those of scikit-learn and Python.
"""

import functools
import inspect
import re
from typing import Any, Self, cast

from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import InvalidParameterError

from skmlp.estimators import annotations as typed
from skmlp.estimators import other_names
from skmlp.estimators.names import (
    advice_on,
    looked_up,
    nearest,
    plain,
    with_sentence,
)
from skmlp.estimators.value_suggestions import of_value


def of_keyword(name, parameters, arguments):
    """The sentence about a keyword that the constructor or `set_params` does not know.

    Parameters
    ----------
    name : str
    parameters : collection of str
        Those of the constructor.
    arguments : collection of str
        Those of `fit`.
    """
    if name in arguments:
        return f"{name} is an argument of fit."
    word = plain(name)
    if word in map(plain, parameters):
        return f"Did you mean {nearest(name, parameters)}?"
    theirs = looked_up(other_names.PARAMETERS, word)
    if theirs in parameters:
        return f"Did you mean {theirs}?"
    sentence = advice_on(other_names.ADVICE, word)
    if sentence:
        return sentence
    if "code_activation" in parameters:
        if word in other_names.CODE_SIZE.split():
            return (
                "The code is the narrowest of hidden_layer_sizes: (64, 8, 64) has one "
                "of 8 units."
            )
        if name in other_names.PARAMETERS or theirs:
            return f"X is its own target: an autoencoder has no {theirs or name}."
    elif name in other_names.PARAMETERS or theirs:
        other = "MLPRegressor" if "class_weight" in parameters else "MLPClassifier"
        return f"{theirs or name} is a parameter of {other}."
    found = nearest(name, parameters)
    return f"Did you mean {found}?" if found else ""


def _of_argument(name, parameters, arguments, owner):
    """The sentence about a keyword that `fit` or `partial_fit` does not know."""
    if name not in parameters:
        found = nearest(name, arguments, other_names.ARGUMENTS)
        if found is not None:
            return f"Did you mean {found}?"
        sentence = advice_on(other_names.ADVICE, plain(name))
        if sentence:
            return sentence
        name = nearest(name, parameters, other_names.PARAMETERS)
    if name is None:
        return ""
    return f"{name} is a parameter of the constructor: {owner}({name}=...)."


def names_arguments(method: typed.Function) -> typed.Function:
    """Let Python's errors about a method's arguments name the estimator, and the cure.

    Its own would name the class that defines the method, which no user has heard of.
    """
    signature = inspect.signature(method)
    names = [*signature.parameters][1:]

    @functools.wraps(method)
    def checked(self, *args, **keywords):
        try:
            signature.bind(self, *args, **keywords)
        except TypeError as error:
            sentence = ""
            unknown = [name for name in keywords if name not in names]
            owner = type(self).__name__
            if unknown:
                parameters = self._get_param_names()
                sentence = _of_argument(unknown[0], parameters, names, owner)
            elif len(args) > 3:
                sentence = "Validation data are keywords: X_val=..., y_val=..."
            raise TypeError(
                with_sentence(f"{owner}.{method.__name__}() {error}", sentence)
            ) from None
        return method(self, *args, **keywords)

    return cast(typed.Function, checked)


class Suggesting(BaseEstimator):
    """Base of the estimators: messages about unknown names suggest the right ones."""

    def _validate_params(self):
        try:
            super()._validate_params()
        except InvalidParameterError as error:
            found = re.match(r"The '(\w+)' parameter", str(error))
            if found is None:
                raise
            sentence = of_value(self, found[1], getattr(self, found[1]))
            raise InvalidParameterError(with_sentence(error, sentence)) from None

    def set_params(self, **params: Any) -> Self:
        """Set parameters.

        Parameters
        ----------
        **params : dict
            Values by name.

        Returns
        -------
        self : object
            The estimator.

        Raises
        ------
        ValueError
            For a name that is no parameter; the message suggests the nearest.
        """
        try:
            return super().set_params(**params)
        except ValueError as error:
            names = self._get_param_names()
            unknown = [key for key in params if key.partition("__")[0] not in names]
            if not unknown:
                raise
            sentence = self._about(unknown[0], names)
            raise ValueError(with_sentence(error, sentence)) from None

    def _refuse_keyword(self, keyword):
        """Raise the constructor's TypeError for a keyword that is no parameter."""
        message = (
            f"{type(self).__name__}.__init__() got an unexpected keyword argument "
            f"{keyword!r}"
        )
        raise TypeError(with_sentence(message, self._about(keyword)))

    def _about(self, keyword, names=None):
        """The sentence about a keyword that is no parameter."""
        arguments = [*inspect.signature(self.fit).parameters]
        return of_keyword(keyword, names or self._get_param_names(), arguments)
