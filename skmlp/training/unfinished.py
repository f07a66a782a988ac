"""An epoch that a time limit or Ctrl-C has cut: how to take it back and go on in it.

The history records it like a whole one. A training that goes on as if it had not been
interrupted finishes it, and records it anew.
"""

# What recording an epoch changes, but for the curves: of history, validation history
# and optimizer.
_OF_HISTORY = ("best_loss", "no_improvement_count", "samples_seen")
_OF_VALIDATION = ("best_score", "best_epoch", "best_params")
_OF_OPTIMIZER = ("learning_rate", "epoch")


def note_unfinished(history, optimizer, n_rows, total):
    """Remember the state before an unfinished epoch is recorded.

    Parameters
    ----------
    history : skmlp.training.history.History
        Its `unfinished` is set.
    optimizer : skmlp.training.optimizer_state.OptimizerState
    n_rows : int
        Rows of the epoch that were trained on.
    total : float
        Sum of their losses.
    """
    history.unfinished = {
        "n_rows": n_rows,
        "total": total,
        "history": {name: getattr(history, name) for name in _OF_HISTORY},
        "validation": {
            name: getattr(history.validation, name)
            for name in (_OF_VALIDATION if history.validation is not None else ())
        },
        "optimizer": {name: getattr(optimizer, name) for name in _OF_OPTIMIZER},
    }


def take_back(history, optimizer):
    """Take back the unfinished epoch, if there is one.

    Returns
    -------
    n_rows : int
        Rows of the epoch that were trained on.
    total : float
        Sum of their losses.
    norm : float or None
        Norm of the gradient of its first minibatch.
    """
    state, history.unfinished = history.unfinished, None
    if state is None:
        return 0, 0.0, None
    curves = [history.loss_curve, history.learning_rates, history.seconds]
    validation = history.validation
    if validation is not None:
        curves += [validation.losses, validation.scores]
        if validation.loss_column is not validation.losses:
            curves += [validation.loss_column, validation.score_column]
        vars(validation).update(state["validation"])
    for curve in curves:
        curve.pop()
    norm = history.gradient_norms.pop() if history.gradient_norms else None
    history.n_epochs -= 1
    vars(history).update(state["history"])
    vars(optimizer).update(state["optimizer"])
    return state["n_rows"], state["total"], norm
