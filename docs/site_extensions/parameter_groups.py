"""The parameters of the estimators in groups, those that most people set first.

Sixty parameters in the order of a signature are a list to search, not to read. On
the page of a class of many parameters they stand in groups; every parameter must have
exactly one. The docstrings stay as they are, one list.
"""

import inspect
import re

MOST_SET = {
    "hidden_layer_sizes": "Units of each hidden layer: the size of the network.",
    "learning_rate_init": "The step size; if you tune one parameter, tune this one.",
    "alpha": "L2 penalty: larger where the network does worse on new data.",
    "max_iter": "Epochs; more where the loss still falls at the end.",
    "early_stopping": "Holds rows out, stops when they no longer improve.",
    "random_state": "An integer for the same network at every fit.",
}
GROUPS = {
    "Architecture": """
        hidden_layer_sizes activation out_activation code_activation layer
        normalization fit_intercept weight_init embedding n_bins embedding_dim
    """,
    "Loss": """
        loss quantile delta power scale_target class_weight sampling logit_adjustment
        prior label_smoothing focal_gamma focal_alpha
    """,
    "Optimizer": """
        solver learning_rate_init learning_rate batch_size shuffle random_state
        momentum nesterovs_momentum beta_1 beta_2 rho epsilon max_fun power_t
        warmup_epochs decay_factor decay_epochs plateau_patience learning_rate_factors
        bias_learning_rate_factor embedding_learning_rate_factor max_grad_norm
    """,
    "Regularization": """
        alpha weight_decay weight_decay_schedule dropout dropout_schedule input_noise
        max_norm
    """,
    "Stopping": """
        max_iter max_time tol n_iter_no_change early_stopping validation_fraction
        scoring best_epoch warm_start verbose
    """,
    "Hardware": "n_jobs device dtype matmul_precision",
    "Cluster": "client sync_every checkpoint timeout",
}
# Classes of fewer parameters are read as they are.
MANY = 20
# Parameters of a long signature that the page's heading shows.
SHOWN = 4

_FIELD = re.compile(r":(\w[\w ]*):(?: |$)")
_ENTRY = re.compile(r"    \*\*(\w+)\*\* : (.*)")


def group_of(parameter):
    """The group of a parameter.

    Parameters
    ----------
    parameter : str

    Returns
    -------
    str
        A key of `GROUPS`.

    Raises
    ------
    ValueError
        If the parameter is in no group, or in several.
    """
    groups = [name for name, members in GROUPS.items() if parameter in members.split()]
    if len(groups) != 1:
        raise ValueError(
            f"The parameter {parameter!r} must be in one group of "
            f"docs/site_extensions/parameter_groups.py, is in {groups}."
        )
    return groups[0]


def in_groups(app, what, name, item, options, lines):
    """Replace numpydoc's list of a class's parameters by groups of it."""
    if what != "class" or len(inspect.signature(item).parameters) < MANY:
        return
    fields = [i for i, line in enumerate(lines) if _FIELD.match(line)]
    begin = next(i for i in fields if lines[i].startswith(":Parameters:"))
    end = next(i for i in fields if i > begin)
    entries = _entries(lines[begin:end])
    signature = inspect.signature(item).parameters
    if entries.keys() != signature.keys():
        different = sorted(entries.keys() ^ signature.keys())
        raise ValueError(f"{name}: not in both docstring and signature: {different}")
    lines[begin:end] = [*_most_set(signature), *_groups(entries)]


def abridged(app, what, name, item, options, signature, return_annotation):
    """The first names of a signature that would fill a screen; None for others."""
    if what != "class" or len(inspect.signature(item).parameters) < MANY:
        return None
    return f"({', '.join([*inspect.signature(item).parameters][:SHOWN])}, ...)", None


def _entries(lines):
    """The lines of each parameter below its name, by name; first its type."""
    entries = {}
    for line in lines:
        if found := _ENTRY.fullmatch(line):
            entries[found[1]] = entry = [found[2]]
        elif entries:
            entry.append(line)
    return entries


def _most_set(signature):
    """A table of the parameters that most people set, with links to them."""
    yield from ("", ".. rubric:: Most people set these six", "")
    yield from (".. list-table::", "   :class: most-set", "")
    for parameter, about in MOST_SET.items():
        default = signature[parameter].default
        yield f"   * - `{parameter}`_"
        yield f"     - ``{default!r}``"
        yield f"     - {about}"
    yield ""


def _groups(entries):
    """Each group as a field list of its own, in the order of `GROUPS`."""
    members = {group: [] for group in GROUPS}
    for parameter in entries:
        members[group_of(parameter)].append(parameter)
    for group, names in members.items():
        names.sort(key=GROUPS[group].split().index)
        yield from (f":{group}:", "")
        for parameter in names:
            type_, *text = entries[parameter]
            yield f"    _`{parameter}` : {type_}"
            yield from text
        yield ""


def setup(app):
    """Register the extension."""
    app.connect("autodoc-process-signature", abridged, priority=600)
    # After numpydoc, which makes a list of the section.
    app.connect("autodoc-process-docstring", in_groups, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
