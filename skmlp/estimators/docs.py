"""The parts of the two estimators' docstrings that are the same.

Two near-equal copies drift apart; so the common parameters and attributes stand here
once and are inserted into both docstrings when the classes are made. So are the entries
of the rules' tables and the parameters that their rows declare: a row is documented by
being in its table.
"""

import functools
import inspect
import re
import textwrap

from skmlp.estimators import annotations as typed
from skmlp.estimators.attribute_docs import ATTRIBUTES
from skmlp.estimators.doc_entries import as_written, entry, indented, rows
from skmlp.estimators.docs_factors import FACTORS
from skmlp.estimators.docs_imbalance import CLASS_PRIORS, SAMPLING
from skmlp.estimators.parameters import COMMON, rule_parameters
from skmlp.estimators.references import REFERENCES
from skmlp.rules.activations import ACTIVATIONS
from skmlp.rules.initializers import INITIALIZERS
from skmlp.rules.loss_choice import LINKS
from skmlp.rules.losses import BINARY_LOSSES, REGRESSION_LOSSES
from skmlp.rules.optimizers import OPTIMIZERS
from skmlp.rules.schedules import SCHEDULES

_PARAMETERS = """
hidden_layer_sizes : array-like of shape (n_layers - 2,), default=(100,)
    Units of each hidden layer. Empty for a linear model.

activation : str, Activation or list of them, default='relu'
    Activation function of the hidden layers: one for all, or a list of one for each.

<activation rows>.

    A custom function is an `skmlp.Activation`.

solver : str, default='adam'
    The optimizer. Each solver uses the parameters named with it.

<optimizers>;
    - 'lbfgs': a quasi-Newton method on the whole data set; good on small ones.

    All but 'lbfgs' are stochastic: they train on minibatches, for epochs.

alpha : float, default=0.0001
    Strength of the L2 penalty on the weights, not on the intercepts. The penalty
    ``0.5 * alpha * sum(coefs ** 2)`` is divided by the sample size, or by the sum of
    the sample weights, when it is added to the loss.

batch_size : int or 'auto', default='auto'
    Rows of a minibatch of the stochastic solvers. 'auto' is ``min(200, n_samples)``.

learning_rate : str, default='constant'
    Schedule of the learning rate of the stochastic solvers.

<schedule items>.

    With 'invscaling' and 'adaptive' the rate of 'adam' is constant, as in
    scikit-learn. 'cosine', 'one_cycle', 'coslog' and 'flat_cosine' have an end: the
    training takes all ``max_iter`` epochs, ``tol`` does not stop it before, though
    early stopping does, and ``partial_fit``, which knows no last epoch, refuses them.

learning_rate_init : float, default=0.001
    The initial learning rate of the stochastic solvers; the highest of 'one_cycle'.

<power_t>

max_iter : int, default=200
    Largest number of epochs of the stochastic solvers, of iterations of 'lbfgs'. For
    more epochs after a fit, call ``resume``.

shuffle : bool, default=True
    Whether to shuffle the samples in each epoch of the stochastic solvers, where
    ``sampling`` does not draw them.

random_state : int, RandomState instance or None, default=None
    Determines the initial weights, the split for early stopping and the shuffling.
    Pass an int for the same result at every call of ``fit``; repeated calls of
    ``partial_fit`` go on with the generator.

tol : float, default=1e-4
    The training ends, or the learning rate is lowered, when the loss (the validation
    score with early stopping) does not improve by ``tol`` for ``n_iter_no_change``
    epochs. For 'lbfgs' the largest element of the gradient to stop at.

verbose : bool or int, default=False
    Whether to print the loss of each epoch, as scikit-learn does. With 2 a line an
    epoch or a second has losses, score, learning rate, rows a second and the time that
    is left, with 'lbfgs', too. Epochs that take less than a tenth of a second are
    printed some at a time. When compiling takes more than a second, a line on standard
    error says so, as it does in a terminal anyway.

warm_start : bool, default=False
    Whether ``fit`` begins with the network of the last call. As in scikit-learn its
    optimizer is a new one, so that the loss may rise at first. To go on as if ``fit``
    had not ended, call ``resume`` instead.

<momentum>

<nesterovs_momentum>

early_stopping : bool, default=False
    Whether to set ``validation_fraction`` of the training data aside, to stop when
    the score on them no longer improves, and to keep the best parameters. The split
    is stratified by class, except for y of several columns and where classes are more
    than the rows set aside; a class of a single row is trained on. With ``X_val``
    passed to ``fit`` nothing is set aside: the score is that of ``X_val``, also with
    'lbfgs', which makes no split of its own. ``scoring`` says what the score is.

validation_fraction : float, default=0.1
    Fraction of the training data that early stopping sets aside; without ``X_val``.

<beta_1>

<beta_2>

<epsilon>

n_iter_no_change : int or inf, default=10
    Epochs without improvement that are tolerated.

max_fun : int, default=15000
    Largest number of calls of the loss by 'lbfgs'.
"""

_OWN_PARAMETERS = """
weight_init : str or tuple (coefs, intercepts), default='auto'
    How the initial weights are drawn. 'auto' draws those of each layer as its
    activation needs them, which for scikit-learn's activations is as scikit-learn
    does; the output layer is initialized like the last hidden layer. A name applies to
    all layers. Biases are zero unless noted.

<initializer rows>.

    'data_driven' scales normal weights so that a hidden unit's preactivation has
    variance one on the training rows, puts its kink among them by its bias, and starts
    the output layer at zero (Holzmüller et al., 2024).

    A pair of lists of arrays, shaped like ``coefs_`` and ``intercepts_``, are the
    initial weights and biases.

fit_intercept : bool, default=True
    Whether the layers have biases. Without, those of all layers are zero.

dropout : float or array-like of shape (n_layers - 2,), default=0.0
    Fraction of a hidden layer's outputs that are set to zero at random in training,
    row by row; the others are divided by the fraction that is kept (Srivastava et al.,
    2014); one rate for all hidden layers or one for each, in [0, 1). Predictions use
    all outputs.

input_noise : float, default=0.0
    Standard deviation of the normal noise that is added to X in training, anew in
    each epoch; for dense X.

normalization : {'batch', 'layer'}, default=None
    Normalization of the inputs of each hidden layer's activation to mean zero and
    variance one, after which they are multiplied by a trained scale, which no penalty
    shrinks, and the intercept is added.

    - 'layer' takes mean and variance over the units of a row (Ba et al., 2016), in
      training and in predictions alike;
    - 'batch' takes them over the rows of a minibatch (Ioffe and Szegedy, 2015), not
      weighted by ``sample_weight``. Predictions, and scores of early stopping, take
      running means and unbiased variances, to which each minibatch adds a tenth; so
      does a minibatch of a single row, which has no variance of its own, and which
      adds nothing to them. Not available for 'lbfgs'.

max_norm : float or None, default=None
    Largest Euclidean norm of the weights that go into a unit; after each step those
    of a larger norm are scaled down to it (Srivastava et al., 2014).

max_grad_norm : float or None, default=None
    Largest Euclidean norm of the gradient by all parameters together; one of a larger
    norm is scaled down to it before the step (Pascanu et al., 2013).

weight_decay : float, default=0.0
    Decoupled decay of the weights, not of the intercepts (Loshchilov and Hutter,
    2019): before each step of a stochastic solver every weight loses the scheduled
    learning rate times ``weight_decay`` of itself. Other than ``alpha`` it is no part
    of the loss, and adaptive solvers do not rescale it: 'adam' with ``alpha=0`` and
    some weight decay is AdamW. 'lbfgs' refuses it.

<rho>

warmup_epochs : float, default=0.0
    Epochs, or a fraction of one, in which the learning rate of a stochastic solver
    rises from 0, step by step and linearly. What the schedule does by steps begins
    after it: schedules with an end take the epochs that are left.

<decay_factor>

<decay_epochs>

<plateau_patience>

{factors}

scoring : str, callable or None, default=None
    What held-out data are scored by, where there are any: with ``early_stopping`` or
    ``X_val``.

    - None: accuracy, R² in regression; for a multilabel target the fraction of rows
      all of whose labels are right, which early stopping warns of;
    - 'loss': minus ``validation_loss_curve_``;
    - a name of `sklearn.metrics.get_scorer_names`;
    - ``scorer(estimator, X, y)``, which returns a number, the higher the better, and
      gets ``sample_weight`` if it takes them and there are any.

    A scorer is asked once an epoch, with an estimator that predicts by the parameters
    of that epoch, and the validated data. Epochs whose outputs are not finite score
    nan.

{sampling}

max_time : float, default=None
    Seconds that a call of ``fit`` or ``partial_fit`` may train. When they are over
    the training ends, within about a tenth of a second ('lbfgs': after the
    iteration), with a `ConvergenceWarning`, and keeps what it has reached: the last
    epoch of ``loss_curve_`` may be one of fewer rows, in which ``resume`` goes on.
    Compiling, where that is still needed, counts as training time.

n_jobs : int, default=None
    Threads of one fit and of predictions; the results are the same for every number.
    None stands for all that the smallest limit allows (affinity, quotas of control
    groups, joblib, threadpoolctl, ``OMP_NUM_THREADS``, ``NUMBA_NUM_THREADS``), and for
    one inside joblib's own threads and Dask's tasks. Small problems use fewer.

device : {'cpu', 'cuda', 'cuda:1', ..., 'auto'}, default='cpu'
    Where to train and to predict: on the CPU, or on an NVIDIA GPU, 'cuda' being the
    first and 'cuda:1' the second (``pip install "skmlp[cu13]"``, or ``skmlp[cu12]``
    for older drivers).

    - A GPU that cannot be used is an error of ``fit``, which says what is missing.
      Predictions then use the CPU.
    - 'auto' trains on the first GPU where there is one and a step has enough work for
      it, else on the CPU. The logger "skmlp" says which and why, at level INFO.

    Data are NumPy arrays, or sparse, and so are the results. An X that is on that GPU
    already, as an array of CuPy, a tensor of PyTorch or, where one of these is
    installed, any other that has DLPack or ``__cuda_array_interface__``, is used where
    it lies; predictions for it are arrays of its library on that GPU, if the library
    reads DLPack.

dtype : {'float32', 'float64'} or NumPy dtype, default=None
    Precision of the training and of the parameters.

    - None: with ``device='cuda'`` all data are trained in float32, since many GPUs are
      slow in float64. Else float32 data are trained in float32, all others in
      float64, also where 'auto' finds a GPU.

matmul_precision : {'highest', 'tf32'}, default='highest'
    Precision of matrix products on a GPU.

    - 'highest': that of ``dtype``.
    - 'tf32': the training is in float32, and products round their factors to 10 bits
      after the point (TensorFloat-32), for the tensor cores. Refused with
      ``device='cpu'`` and ``dtype='float64'``; the CPU that 'auto' may choose computes
      in float32.

embedding : {'piecewise_linear'} or None, default=None
    A trained first stage for each number: a piecewise-linear function to
    ``embedding_dim`` numbers, with bends at quantiles of the training data
    (Gorishniy et al., 2022). The first layer takes them beside the raw numbers, so that
    thresholds and bends of single features need not be built from many units. Columns
    of less than three distinct quantiles, as zeros and ones, stay raw. For dense X,
    without ``normalization='batch'`` and ``input_noise``.

n_bins : int, default=16
    Quantile bins of an embedded column.

embedding_dim : int, default=4
    Numbers that a column is embedded in.

embedding_learning_rate_factor : float, default=1.0
    Factor of the learning rate of ``embedding_weights_``, not below zero.

<other parameters>
"""


_CLASSIFIER_LOSS = """
loss : str or Loss, default='log_loss'
    What is minimized.

<binary loss rows>.

    With more than two classes, one to a sample, they are the cross-entropy of all
    classes' probabilities, the hinge loss of Crammer and Singer (2001), its square,
    half the squared error summed over the classes, and the focal loss of the true
    class's probability. With 'hinge' and 'squared_hinge' there are no probabilities,
    but a ``decision_function``. A custom loss is an `skmlp.Loss`, summed over the
    outputs.

    'ordinal' learns logits of exceeding each class but the last: the first is an
    output, each other one is the softplus of an output lower, so that they cannot
    cross, and features may move each of them differently (Peterson and Harrell, 1990).
    The order is that of an ordered categorical's categories, else of numbers by size
    and of strings by the alphabet (see ``class_order_``).

    Several columns of classes have the log-loss, summed over the columns.
"""

_CLASSIFIER_OUTPUT = """
out_activation : {'auto', 'logistic', 'softmax', 'identity'}, default='auto'
    How raw outputs become probabilities. 'auto' is what belongs to target and loss:
    'softmax' where each sample has one of several classes, or one in each of several
    columns, 'logistic' for two classes, for labels that do not exclude each other and
    for classes in an order, 'identity' for the hinge losses.
    'logistic' with several classes trains each class against all others;
    ``predict_proba`` then divides by the sum.

<label_smoothing>

<focal_gamma>

<focal_alpha>
"""

_REGRESSOR_LOSS = """
loss : str or Loss, default='squared_error'
    What is minimized, summed over the targets.

<regression loss rows>.

    'poisson', 'gamma' and 'tweedie' predict by the exponential function, 'log_loss' by
    the logistic one, and refuse targets out of their range. A custom loss is an
    `skmlp.Loss`.
"""

_REGRESSOR_OUTPUT = """
out_activation : str, default='auto'
    What turns raw outputs into predictions: 'auto', 'identity',
    <links>. 'auto' is the loss's own: 'exp' for
    'poisson', 'gamma' and 'tweedie', 'logistic' for 'log_loss', else the identity.
    Losses whose own is the identity may have any other, so that predictions are not
    negative ('relu'), positive ('softplus', 'exp'), in (0, 1) ('logistic') or in
    (-1, 1) ('tanh'); 'gaussian_nll' and several quantiles may not.

<quantile>

<delta>

<power>
"""

_PARTS = {
    "    {classifier_loss}": _CLASSIFIER_LOSS,
    "    {classifier_output}": _CLASSIFIER_OUTPUT,
    "    {class_priors}": CLASS_PRIORS,
    "    {regressor_loss}": _REGRESSOR_LOSS,
    "    {regressor_output}": _REGRESSOR_OUTPUT,
    "    {parameters}": _PARAMETERS,
    "    {own_parameters}": _OWN_PARAMETERS,
    "    {attributes}": ATTRIBUTES,
    "    {references}": REFERENCES,
}
_TABLES = {
    "<optimizers>": OPTIMIZERS,
    "<schedule items>": SCHEDULES,
    "<activation rows>": ACTIVATIONS,
    "<initializer rows>": INITIALIZERS,
    "<binary loss rows>": BINARY_LOSSES,
    "<regression loss rows>": REGRESSION_LOSSES,
}


@functools.cache
def _rows():
    """The tables' rows as text, made once for all estimators."""
    return {name: rows(table) for name, table in _TABLES.items()}


def _without_own(text, names):
    """A shared part without the entries of some names, which a class has itself."""
    entries = re.split(r"(?m)^(?=\w+ : )", text)
    return "".join(each for each in entries if each.partition(" : ")[0] not in names)


def with_shared_docs(estimator: typed.Class) -> typed.Class:
    """Class decorator: fill the slots of the docstring that the estimators share."""
    if estimator.__doc__ is None:  # python -OO
        return estimator
    doc = as_written(estimator.__doc__)
    own = {*re.findall(r"(?m)^    (\w+) : ", doc)}
    lacking = {*COMMON} - {*inspect.signature(estimator).parameters}
    for slot, text in _PARTS.items():
        text = text.replace("\n{factors}\n", FACTORS)
        text = text.replace("\n{sampling}\n", SAMPLING)
        for name, listed in _rows().items():
            text = text.replace(name, listed)
        text = text.replace("<links>", ", ".join(map(repr, LINKS)))
        doc = doc.replace(slot, indented(_without_own(text, own | lacking)))
    tables = rule_parameters(estimator._tables)  # type: ignore[attr-defined]
    entries = {
        name: textwrap.indent(entry(parameter), "    ")
        for name, parameter in tables.items()
    }
    for name in [*entries]:
        slot = f"    <{name}>"
        if slot in doc:
            doc = doc.replace(slot, entries.pop(name))
    others = "".join(f"\n\n{text}" for text in entries.values())
    estimator.__doc__ = doc.replace("\n\n    <other parameters>", others)
    return estimator
