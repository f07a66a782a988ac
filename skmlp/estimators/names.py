"""Names that are not known, and ours that they stand for.

A name is looked up among ours without regard to case and separators, then among those
of other libraries, then among ours by likeness.
"""

import difflib
import re
from numbers import Real

import numpy as np

from skmlp.estimators import other_names
from skmlp.rules import aliases

# How alike two names must be, by `difflib`.
_CUTOFF = 0.72
_OWN_RULES = {
    "activation": "An activation of your own is a skmlp.Activation(name, value, "
    "slope).",
    "loss": "A loss of your own is a skmlp.Loss(name, output, value, slope).",
}


def with_sentence(message, sentence):
    """A message followed by a sentence, if there is one."""
    if not sentence:
        return str(message)
    message = str(message).rstrip()
    return f"{message}{'' if message.endswith(('.', '!', '?')) else '.'} {sentence}"


def plain(name):
    """A name without module, case and separators."""
    return re.sub("[^a-z0-9]", "", str(name).rpartition(".")[2].lower())


def looked_up(table, name):
    """The key of a table whose words contain a name, or None."""
    return next((key for key, words in table.items() if name in words.split()), None)


def advice_on(table, name):
    """The value of a table one of whose keys' words is a name, or None."""
    return next((text for words, text in table.items() if name in words.split()), None)


def nearest(name, options, other=None):
    """The option that a name stands for, or None.

    Parameters
    ----------
    name : str
    options : collection of str
    other : dict of str to str, default=None
        Words that others use, by option.
    """
    word = plain(name)
    ours = {plain(option): option for option in options}
    if word in ours:
        return ours[word]
    # PyTorch's losses are classes whose names end so.
    theirs = looked_up(other or {}, word) or looked_up(
        other or {}, word.removesuffix("loss")
    )
    if theirs in options:
        return theirs
    alike = difflib.get_close_matches(word, ours, n=1, cutoff=_CUTOFF)
    return ours[alike[0]] if alike else None


def name_of(value):
    """The name of a value: that of a function, of a class, or of an object's class."""
    if isinstance(value, str) or value is None or isinstance(value, bool | Real):
        return str(value)
    if isinstance(value, np.dtype):
        return value.name
    name = getattr(value, "__name__", None) or type(value).__name__
    # Of torch.float32 and torch.device('mps') the text says more than the class.
    return str(value) if name in ("dtype", "device") else name


def of_option(parameter, value, options):
    """The sentence about a value that is none of some names."""
    name = name_of(value)
    advice = {
        **aliases.ADVICE.get(parameter, {}),
        **other_names.VALUE_ADVICE.get(parameter, {}),
    }
    sentence = advice_on(advice, plain(name))
    if sentence:
        return sentence
    is_name = isinstance(value, str | type | np.dtype) or callable(value)
    if is_name or parameter in _OWN_RULES or "." in name:
        other = {
            **aliases.ALIASES.get(parameter, {}),
            **other_names.VALUES.get(parameter, {}),
        }
        found = nearest(name, options, other)
        if found is not None:
            return f"Did you mean {parameter}={found!r}?"
    return _OWN_RULES.get(parameter, "") if is_name else ""
