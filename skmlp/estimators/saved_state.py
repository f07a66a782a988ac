"""The attributes of a fitted estimator as pickles and copies store them, and back.

The training's state is stored as plain dicts and arrays. So pickles refer to no module
of skmlp but the public one, and files may move without breaking saved models. The
parameters are stored as the one vector that they are views on, and are its views again
in the copy: predictions of a loaded model, memory-mapped or not, copy nothing.
"""

from collections.abc import Callable

import numpy as np

from skmlp.embedding import Embedding
from skmlp.estimators.architecture import as_given, with_own
from skmlp.estimators.prepared import Prepared
from skmlp.estimators.target_kinds import labels_from_state
from skmlp.network import (
    Network,
    embedding_part,
    norm_state,
    pack,
    shared_vector,
    views,
)
from skmlp.rules.activations import IDENTITY
from skmlp.rules.loss_choice import decoder_from_state, decoder_to_state
from skmlp.training.history import History
from skmlp.training.optimizer_state import OptimizerState

# Attributes that are stored as plain dicts, and the conversions to and from them.
_STATES: dict[str, tuple[Callable, Callable]] = {
    "_history": (History.to_state, History.from_state),
    "_optimizer": (OptimizerState.to_state, OptimizerState.from_state),
    "_labels": (lambda labels: labels.to_state(), labels_from_state),
    "_decoder": (decoder_to_state, decoder_from_state),
    "_embedding": (Embedding.to_state, lambda state: Embedding(**state)),
    "_activations": (as_given, with_own),
}
# The parameters, in the order of the vector.
_PARAMETERS = (
    "coefs_",
    "intercepts_",
    "norm_scales_",
    "norm_means_",
    "norm_variances_",
    "embedding_weights_",
)
# What predictions and further training read.
_NEEDED = ("_activations", "out_activation_", "n_features_in_")
_OF_CLASSIFIERS = ("_labels",)
_OF_REGRESSORS = ("_decoder", "target_mean_", "target_scale_")
_CURVES = ("loss_curve_", "validation_loss_curve_", "validation_scores_")


# Lists of vectors, by normalization: scales, running means and variances.
_NORMALIZATIONS = {0: None, 1: "layer", 3: "batch"}


def to_state(attributes):
    """What a pickle stores of some attributes; these stay as they are."""
    state = dict(attributes)
    # A copy prepares its own.
    state.pop("_prepared", None)
    network, parts = _network_of(state)
    for name, (convert, _) in _STATES.items():
        if state.get(name) is not None:
            state[name] = convert(state[name])
    if network is not None:
        vector = shared_vector(parts, parts[0].dtype)
        if vector is not None:
            for name in _PARAMETERS:
                state.pop(name, None)
            state["_vector"] = vector
            state["_layout"] = (network.sizes, network.normalization)
    return state


def check_complete_state(state, written_by, version):
    """Refuse a fitted model of another release that lacks what this one reads.

    Parameters
    ----------
    state : dict
    written_by : str or None
        The release that wrote it, None for those that did not say.
    version : str
        This release.

    Raises
    ------
    ValueError
    """
    if not ({"_vector", "coefs_"} & state.keys()):
        return
    own = _OF_CLASSIFIERS if "classes_" in state else _OF_REGRESSORS
    missing = [name for name in (*_NEEDED, *own) if name not in state]
    if "_vector" in state and "_layout" not in state:
        missing.append("_layout")
    if missing:
        raise ValueError(
            f"This model was saved by {written_by or 'an earlier release'} of skmlp "
            f"and lacks {', '.join(missing)}, which skmlp {version} reads. Load it by "
            "the release that saved it, or fit it again."
        )


def from_state(state):
    """The attributes of a `to_state`."""
    state = dict(state)
    if state.get("_history") is not None:
        _copy_curves(state)
    for name, (_, convert) in _STATES.items():
        if state.get(name) is not None:
            state[name] = convert(state[name])
    if "_vector" in state:
        sizes, normalization = state.pop("_layout")
        network = _network(sizes, normalization, state.get("_embedding"))
        state["_prepared"] = Prepared()
        return state | parameter_views(network, state.pop("_vector"))
    network, parts = _network_of(state)
    if network is None:
        return state
    state["_prepared"] = Prepared()
    return state | parameter_views(network, pack(parts, (), parts[0].dtype))


def parameter_views(network, vector):
    """The attributes that hold the parameters, as views on a flat vector."""
    coefs, intercepts = views(network, vector)
    norms = norm_state(network, vector)
    matrices = None
    if network.embedding is not None:
        matrices = network.embedding.matrices(embedding_part(network, vector))
    values = (coefs, intercepts, *(part or None for part in norms), matrices)
    return dict(zip(_PARAMETERS, values, strict=True))


def _network(sizes, normalization, embedding):
    """A network that has a layout of parameters, and no more."""
    plain = Network(sizes, (), None, IDENTITY, normalization=normalization)
    return plain._replace(embedding=embedding)


def _network_of(state):
    """The network of a state's parameters, and these in the order of the vector.

    The network is None where there are none, or where what a user has put in their
    place is not of one dtype and of shapes that fit together.
    """
    values = [state.get(name) for name in _PARAMETERS]
    if not all(isinstance(value, list | None) for value in values):
        return None, []
    coefs, intercepts, *norms, _ = lists = [value or [] for value in values]
    parts = [part for some in lists for part in some]
    if not (coefs and all(isinstance(part, np.ndarray) for part in parts)):
        return None, []
    if not all(part.ndim and part.dtype == coefs[0].dtype for part in parts):
        return None, []
    sizes = (len(coefs[0]), *map(len, intercepts))
    normalization = _NORMALIZATIONS.get(sum(map(bool, norms)))
    embedding = state.get("_embedding")
    network = _network(sizes, normalization, embedding)
    units = [(n,) for n in sizes[1:]]
    expected = [*network.shapes, *units, *(units[:-1] * sum(map(bool, norms)))]
    if embedding is not None:
        expected += [(n_bins, embedding.dim) for n_bins in embedding.n_bins]
    fits = [part.shape for part in parts] == expected
    return (network if fits else None), parts


def _copy_curves(state):
    """Give a copy its own curves, since a training appends to them.

    They are the same lists in the history and in the attributes.
    """
    copies: dict[int, list] = {}

    def own(values):
        if not isinstance(values, list):
            return values
        return copies.setdefault(id(values), list(values))

    history = {name: own(value) for name, value in state["_history"].items()}
    if history["validation"] is not None:
        validation = history["validation"].items()
        history["validation"] = {name: own(value) for name, value in validation}
    state["_history"] = history
    for name in _CURVES:
        if name in state:
            state[name] = copies.get(id(state[name]), state[name])
    if isinstance(state.get("history_"), dict):
        columns = state["history_"].items()
        state["history_"] = {k: copies.get(id(curve), curve) for k, curve in columns}
