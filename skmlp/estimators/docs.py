"""The parts of the two estimators' docstrings that are the same.

Two near-equal copies drift apart; so the common parameters and attributes stand here
once and are set into both docstrings when the classes are made.
"""

import inspect

_PARAMETERS = """
hidden_layer_sizes : array-like of shape (n_layers - 2,), default=(100,)
    Units of each hidden layer. Empty for a linear model.

activation : {'identity', 'logistic', 'tanh', 'relu'}, default='relu'
    Activation function of the hidden layers.

    - 'identity', f(z) = z, a linear bottleneck;
    - 'logistic', f(z) = 1 / (1 + exp(-z));
    - 'tanh', f(z) = tanh(z);
    - 'relu', f(z) = max(0, z).

solver : {'lbfgs', 'sgd', 'adam'}, default='adam'
    How the weights are found.

    - 'lbfgs' is a quasi-Newton method on the whole data set; good on small ones;
    - 'sgd' is stochastic gradient descent with momentum;
    - 'adam' is the stochastic method of Kingma and Ba (2014).

alpha : float, default=0.0001
    Strength of the L2 penalty on the weights, not on the intercepts. The penalty
    ``0.5 * alpha * sum(coefs ** 2)`` is divided by the sample size, or by the sum of
    the sample weights, when it is added to the loss.

batch_size : int or 'auto', default='auto'
    Rows of a minibatch of 'sgd' and 'adam'. 'auto' is ``min(200, n_samples)``.

learning_rate : {'constant', 'invscaling', 'adaptive'}, default='constant'
    Schedule of the learning rate of 'sgd'.

    - 'constant' stays at ``learning_rate_init``;
    - 'invscaling' is ``learning_rate_init / (t + 1) ** power_t`` after t samples;
    - 'adaptive' divides the rate by 5 whenever the training would otherwise stop,
      until it is 1e-6.

learning_rate_init : float, default=0.001
    The initial learning rate of 'sgd' and 'adam'.

power_t : float, default=0.5
    Exponent of 'invscaling'.

max_iter : int, default=200
    Largest number of epochs of 'sgd' and 'adam', of iterations of 'lbfgs'.

shuffle : bool, default=True
    Whether to shuffle the samples in each epoch of 'sgd' and 'adam'.

random_state : int, RandomState instance or None, default=None
    Determines the initial weights, the split for early stopping and the shuffling.
    Pass an int for the same result at every call of ``fit``; repeated calls of
    ``partial_fit`` go on with the generator.

tol : float, default=1e-4
    The training ends, or the learning rate is lowered, when the loss (the validation
    score with early stopping) does not improve by ``tol`` for ``n_iter_no_change``
    epochs. For 'lbfgs' the largest element of the gradient to stop at.

verbose : bool or int, default=False
    Whether to print the loss of each epoch.

warm_start : bool, default=False
    Whether ``fit`` begins with the parameters of the last call.

momentum : float, default=0.9
    Momentum of 'sgd', between 0 and 1.

nesterovs_momentum : bool, default=True
    Whether the momentum of 'sgd' is Nesterov's.

early_stopping : bool, default=False
    Whether to set ``validation_fraction`` of the training data aside, to stop when
    the score on them no longer improves, and to keep the best parameters. The split
    is stratified by class, except for a multilabel target.

validation_fraction : float, default=0.1
    Share of the training data that early stopping sets aside.

beta_1 : float, default=0.9
    Decay rate of the first moments of 'adam', in [0, 1).

beta_2 : float, default=0.999
    Decay rate of the second moments of 'adam', in [0, 1).

epsilon : float, default=1e-8
    Added to the root of the second moments of 'adam'.

n_iter_no_change : int or inf, default=10
    Epochs without improvement that are tolerated.

max_fun : int, default=15000
    Largest number of calls of the loss by 'lbfgs'.
"""

_OWN_PARAMETERS = """
normalization : {'batch', 'layer'}, default=None
    Normalisation of the inputs of each hidden layer's activation to mean zero and
    variance one, after which they are multiplied by a trained scale, which no penalty
    shrinks, and the intercept is added.

    - 'layer' takes mean and variance over the units of a row (Ba et al., 2016), in
      training and in predictions alike;
    - 'batch' takes them over the rows of a minibatch (Ioffe and Szegedy, 2015), not
      weighted by ``sample_weight``. Predictions, and scores of early stopping, take
      running means and unbiased variances, to which each minibatch adds a tenth; so
      does a minibatch of a single row, which has no variance of its own, and which
      adds nothing to them. Not available for 'lbfgs'.

n_jobs : int, default=None
    Threads of one fit and of predictions; the results are the same for every number.
    None stands for all that joblib, the CPU affinity and ``NUMBA_NUM_THREADS`` allow,
    and for one inside joblib's own threads. Small problems use fewer.

dtype : {'float32', 'float64'}, default=None
    Precision of the training and of the parameters. None: float32 data are trained
    in float32, all else in float64.
"""

_ATTRIBUTES = """
loss_ : float
    The loss of the last epoch, the L2 term included.

best_loss_ : float or None
    The lowest loss of an epoch; None with early stopping.

loss_curve_ : list of float
    The loss of each epoch; not set by 'lbfgs'.

validation_scores_ : list of float or None
    With early stopping, the score of each epoch on the data set aside: accuracy, or
    R².

best_validation_score_ : float or None
    The highest of ``validation_scores_``.

t_ : int
    Number of training samples seen by the solver.

coefs_ : list of ndarray of shape (fan_in, fan_out)
    The weights of each layer.

intercepts_ : list of ndarray of shape (fan_out,)
    The biases of each layer.

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

feature_names_in_ : ndarray of shape (n_features_in_,)
    Names of the features, where X has names that are all strings.

n_iter_ : int
    Epochs or iterations of the last call.

n_layers_ : int
    Number of layers, input and output included.

n_outputs_ : int
    Number of outputs.

out_activation_ : str
    Name of the output activation function.
"""

_REFERENCES = """
Ba, J. L., Kiros, J. R. and Hinton, G. E. (2016). Layer normalization.
arXiv:1607.06450.

Glorot, X. and Bengio, Y. (2010). Understanding the difficulty of training deep
feedforward neural networks. AISTATS.

Ioffe, S. and Szegedy, C. (2015). Batch normalization: accelerating deep network
training by reducing internal covariate shift. ICML.

Kingma, D. P. and Ba, J. (2014). Adam: a method for stochastic optimization.
arXiv:1412.6980.

Sutskever, I., Martens, J., Dahl, G. and Hinton, G. (2013). On the importance of
initialization and momentum in deep learning. ICML.
"""

_PARTS = {
    "    {parameters}": _PARAMETERS,
    "    {own_parameters}": _OWN_PARAMETERS,
    "    {attributes}": _ATTRIBUTES,
    "    {references}": _REFERENCES,
}


def with_shared_docs(estimator):
    """Class decorator: fill the places in the docstring that the estimators share."""
    if estimator.__doc__ is None:  # python -OO
        return estimator
    for place, text in _PARTS.items():
        lines = inspect.cleandoc(text).splitlines()
        block = "\n".join(f"    {line}" if line else "" for line in lines)
        estimator.__doc__ = estimator.__doc__.replace(place, block)
    return estimator
