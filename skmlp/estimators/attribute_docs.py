"""The documentation of the fitted attributes that both estimators share."""

ATTRIBUTES = """
loss_ : float
    The loss of the last epoch, the L2 term included.

best_loss_ : float or None
    The lowest loss of an epoch; None with early stopping; not set by 'lbfgs'.

loss_curve_ : list of float
    The loss of each epoch; not set by 'lbfgs'.

validation_scores_ : list of float or None
    With early stopping or ``X_val``, the score of each epoch on the held-out data, by
    ``scoring``.

best_validation_score_ : float or None
    The highest of ``validation_scores_``.

best_iter_ : int or None
    With early stopping the epoch of that score, whose parameters ``fit`` keeps:
    counted from 1 along ``loss_curve_``, with 'lbfgs' along ``history_['loss']``. None
    where scores do not decide.

validation_loss_curve_ : list of float or None
    The loss of each epoch on the held-out data: the mean over their rows, weighted as
    they are, at the end of the epoch and without the L2 term.

history_ : dict of lists of float
    The course of the training, an element an epoch: 'loss', 'learning_rate' (the last
    of the epoch), 'seconds' (since the beginning, scoring included; epochs that were
    trained in one call of the kernel divide its time), 'gradient_norm' (of the first
    minibatch, the L2 term included, before ``max_grad_norm`` clips it; with 'lbfgs' at
    the iterate; not on a GPU) and with held-out data 'validation_loss' and
    'validation_score', nan for epochs of earlier calls that had none. As
    ``loss_curve_`` it goes on with ``warm_start`` and ``partial_fit``. With 'lbfgs' the
    iterations of the last call, without learning rates.

no_improvement_count_ : int
    Epochs without improvement at the end, by the validation score with early
    stopping, else by the loss; not set by 'lbfgs'. ``partial_fit`` counts on from
    call to call, so that a loop can end when it exceeds ``n_iter_no_change``.

best_coefs_, best_intercepts_ : list of ndarray
    The parameters of ``best_validation_score_``; only set by ``partial_fit`` with
    ``early_stopping`` and ``X_val``, since ``fit`` leaves the best in ``coefs_`` and
    ``intercepts_``.

t_ : int
    Number of training samples seen by the solver.

coefs_ : list of ndarray of shape (fan_in, fan_out)
    The weights of each layer.

intercepts_ : list of ndarray of shape (fan_out,)
    The biases of each layer.

bin_edges_ : list of ndarray or None
    With ``embedding``, the edges of the bins of each column, empty for columns that are
    not embedded.

embedding_weights_ : list of ndarray of shape (n_bins, embedding_dim) or None
    The trained matrices of the embedded columns. ``coefs_[0]`` has rows for the columns
    of X, then ``embedding_dim`` for each embedded column.

norm_scales_ : list of ndarray of shape (n_units,) or None
    With ``normalization`` the trained scale of each unit, by hidden layer: its inputs
    z become ``scale * (z - mean) / sqrt(variance + 1e-5) + intercept``.

norm_means_ : list of ndarray of shape (n_units,) or None
    With ``normalization='batch'`` the running means of each hidden layer's inputs,
    which stand for those of a minibatch in predictions.

norm_variances_ : list of ndarray of shape (n_units,) or None
    As ``norm_means_``, the running variances, of the minibatches' unbiased ones.

n_features_in_ : int
    Number of features seen during fit.

feature_names_in_ : ndarray of shape (`n_features_in_`,)
    Names of the features, where X has names that are all strings.

n_iter_ : int
    Epochs or iterations of the last call; of ``resume`` with those of ``fit``.

n_layers_ : int
    Number of layers, input and output included.

n_outputs_ : int
    Number of outputs.

out_activation_ : str
    Name of the output activation function.

device_ : str
    Where the last call trained: 'cpu', or the name of a GPU.
"""
