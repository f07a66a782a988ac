"""A table of users' mistakes: what they write, what is raised, the sentence they read.

A row is one line: code that is evaluated with the names below, the class of the
exception or warning, and the end of its message.
"""

import datetime
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import is_regressor
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning
from sklearn.metrics import (
    f1_score,
    make_scorer,
    mean_squared_error,
    roc_auc_score,
)
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils._param_validation import InvalidParameterError

from skmlp import MLPClassifier, MLPRegressor
from skmlp.estimators import other_names
from skmlp.rules import aliases

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# Only code in the tables names these.
IN_ROWS = (datetime, sparse, GridSearchCV, mean_squared_error, roc_auc_score)

X, Y = make_classification(n_samples=60, n_features=4, random_state=0)
YR = X[:, 0] - X[:, 1] ** 2
LABELS = np.where(Y == 1, "yes", "no")
FRAME = pd.DataFrame(X, columns=["age", "height", "weight", "income"])
CITIES = FRAME.assign(city=np.where(Y == 1, "Rome", "Oslo"))
FOUR = CITIES.assign(a="x", b="y", c="z")
WHEN = FRAME.assign(when=pd.Timestamp("2024-01-01"))
GAPS = FRAME.mask(FRAME["age"] > 1, other=np.nan)
DAYS = np.full(60, "2024-01-01", dtype="datetime64[D]")
OBJECTS = LABELS.astype(object)


def with_item(array, index, item):
    """A copy of an array of objects with another element."""
    array = np.array(array, dtype=object)
    array[index] = item
    return array


def fit(estimator, **settings):
    """Fit an estimator of few epochs to data of its kind."""
    estimator.set_params(max_iter=1, **settings)
    return estimator.fit(X, YR if is_regressor(estimator) else Y)


def pipeline():
    """A pipeline of a scaler and a classifier."""
    return make_pipeline(StandardScaler(), MLPClassifier(max_iter=1))


class ReLU:
    """Stands for a layer of PyTorch."""


ENCODE = (
    " Encode categories by OneHotEncoder, OrdinalEncoder or TargetEncoder, in a "
    "ColumnTransformer beside the columns of numbers."
)
DERIVE = ": derive numbers, as the year, the hour or the days since a first day."
VALIDATION = "Pass validation data to fit: fit(X, y, X_val=..., y_val=...)."
CALLBACKS = (
    "Callbacks are those of scikit-learn 1.9 and later: set_callbacks(...). "
    "early_stopping, max_time and verbose do what most are used for."
)
NVIDIA = "The GPU must be one of NVIDIA: 'cuda', or else 'cpu'."
FLOATING = "Training is in single or double precision: dtype='float32' or 'float64'."
OWN_LOSS = "A loss of your own is a skmlp.Loss(name, output, value, slope)."
OWN_ACTIVATION = "An activation of your own is a skmlp.Activation(name, value, slope)."
BINARIZER = (
    "The rows of y are lists of labels. MultiLabelBinarizer().fit_transform(y) of "
    "sklearn.preprocessing makes a column of 0 and 1 of each label."
)
FOREVER = "n_iter_no_change=float('inf') never stops before max_iter."
Bad = InvalidParameterError

# Keywords of constructors.
KEYWORDS = [
    ("MLPClassifier(epochs=5)", TypeError, "Did you mean max_iter?"),
    ("MLPClassifier(n_epochs=5)", TypeError, "Did you mean max_iter?"),
    ("MLPClassifier(num_epochs=5)", TypeError, "Did you mean max_iter?"),
    ("MLPClassifier(n_iter=5)", TypeError, "Did you mean max_iter?"),
    ("MLPClassifier(n_estimators=5)", TypeError, "Did you mean max_iter?"),
    ("MLPClassifier(lr=0.1)", TypeError, "Did you mean learning_rate_init?"),
    ("MLPClassifier(eta=0.1)", TypeError, "Did you mean learning_rate_init?"),
    ("MLPClassifier(scheduler='step')", TypeError, "Did you mean learning_rate?"),
    ("MLPClassifier(optimizer='adam')", TypeError, "Did you mean solver?"),
    ("MLPClassifier(batch=32)", TypeError, "Did you mean batch_size?"),
    ("MLPClassifier(batchsize=32)", TypeError, "Did you mean batch_size?"),
    ("MLPClassifier(units=64)", TypeError, "Did you mean hidden_layer_sizes?"),
    ("MLPClassifier(layers=(64,))", TypeError, "Did you mean hidden_layer_sizes?"),
    ("MLPClassifier(hidden_layers=2)", TypeError, "Did you mean hidden_layer_sizes?"),
    ("MLPRegressor(hidden_layer_size=9)", TypeError, "you mean hidden_layer_sizes?"),
    ("MLPRegressor(hidden_units=9)", TypeError, "Did you mean hidden_layer_sizes?"),
    ("MLPRegressor(normalize_y=True)", TypeError, "Did you mean scale_target?"),
    ("MLPRegressor(scaletarget=True)", TypeError, "Did you mean scale_target?"),
    (
        "MLPClassifier(scale_y=True)",
        TypeError,
        "scale_target is a parameter of MLPRegressor.",
    ),
    ("MLPRegressor(criterion='mse')", TypeError, "Did you mean loss?"),
    ("MLPRegressor(objective='mse')", TypeError, "Did you mean loss?"),
    ("MLPClassifier(patience=5)", TypeError, "Did you mean n_iter_no_change?"),
    ("MLPClassifier(early_stopping_rounds=5)", TypeError, "mean n_iter_no_change?"),
    ("MLPClassifier(validation_split=0.1)", TypeError, "mean validation_fraction?"),
    ("MLPClassifier(l2=0.1)", TypeError, "Did you mean alpha?"),
    ("MLPClassifier(reg_lambda=0.1)", TypeError, "Did you mean alpha?"),
    ("MLPClassifier(wd=0.1)", TypeError, "Did you mean weight_decay?"),
    ("MLPClassifier(droput=0.1)", TypeError, "Did you mean dropout?"),
    ("MLPClassifier(dropout_rate=0.1)", TypeError, "Did you mean dropout?"),
    ("MLPClassifier(batch_norm=True)", TypeError, "Did you mean normalization?"),
    ("MLPClassifier(seed=0)", TypeError, "Did you mean random_state?"),
    ("MLPClassifier(metrics=['acc'])", TypeError, "Did you mean scoring?"),
    ("MLPClassifier(clipnorm=1.0)", TypeError, "Did you mean max_grad_norm?"),
    ("MLPClassifier(kernel_initializer='he')", TypeError, "Did you mean weight_init?"),
    ("MLPClassifier(use_bias=False)", TypeError, "Did you mean fit_intercept?"),
    ("MLPClassifier(activation_function='relu')", TypeError, "you mean activation?"),
    ("MLPClassifier(nonlinearity='relu')", TypeError, "Did you mean activation?"),
    ("MLPClassifier(n_threads=2)", TypeError, "Did you mean n_jobs?"),
    ("MLPClassifier(use_gpu=True)", TypeError, "Did you mean device?"),
    ("MLPClassifier(time_limit=60)", TypeError, "Did you mean max_time?"),
    ("MLPClassifier(class_weights={})", TypeError, "Did you mean class_weight?"),
    ("MLPClassifier(maxiter=10)", TypeError, "Did you mean max_iter?"),
    ("MLPClassifier(nesterov=True)", TypeError, "Did you mean nesterovs_momentum?"),
    ("MLPClassifier(beta1=0.9)", TypeError, "Did you mean beta_1?"),
    ("MLPClassifier(callbacks=[])", TypeError, CALLBACKS),
    ("MLPClassifier(validation_data=(X, Y))", TypeError, VALIDATION),
    ("MLPClassifier(eval_set=[(X, Y)])", TypeError, VALIDATION),
    ("MLPClassifier(X_val=X)", TypeError, "X_val is an argument of fit."),
    (
        "MLPClassifier(sample_weight=Y)",
        TypeError,
        "sample_weight is an argument of fit.",
    ),
    ("MLPClassifier(input_dim=4)", TypeError, "Leave it out: the data say it."),
    ("MLPClassifier(n_classes=2)", TypeError, "Leave it out: the data say it."),
    ("MLPClassifier(l1=0.1)", TypeError, "no L1 penalty; alpha is that of L2."),
    (
        "MLPClassifier(quantile=0.5)",
        TypeError,
        "is a parameter of MLPRegressor.",
    ),
    (
        "MLPRegressor(class_weight={})",
        TypeError,
        "class_weight is a parameter of MLPClassifier.",
    ),
    ("MLPClassifier(C=1.0)", TypeError, "the L2 penalty, the inverse of C."),
    ("MLPClassifier(num_leaves=3)", TypeError, "That is a parameter of trees."),
    ("MLPClassifier(label_smooth=0.1)", TypeError, "Did you mean label_smoothing?"),
    ("MLPRegressor(huber_delta=1)", TypeError, "Did you mean delta?"),
    ("MLPRegressor(xyzzy=1)", TypeError, "got an unexpected keyword argument 'xyzzy'"),
    ("MLPClassifier().set_params(droput=0.1)", ValueError, "Did you mean dropout?"),
    ("MLPClassifier().set_params(epochs=5)", ValueError, "Did you mean max_iter?"),
    ("pipeline().set_params(mlpclassifier__lr=1)", ValueError, "learning_rate_init?"),
    (
        "GridSearchCV(MLPClassifier(), {'hidden_layers': [1]}).fit(X, Y)",
        ValueError,
        "Did you mean hidden_layer_sizes?",
    ),
]

# Names of rules, devices and the like.
NAMES = [
    ("fit(MLPClassifier(), activation='sigmoid')", Bad, "mean activation='logistic'?"),
    (
        "fit(MLPClassifier(), activation='swish')",
        Bad,
        "Did you mean activation='silu'?",
    ),
    ("fit(MLPClassifier(), activation='linear')", Bad, "mean activation='identity'?"),
    ("fit(MLPClassifier(), activation='ReLU')", Bad, "Did you mean activation='relu'?"),
    ("fit(MLPClassifier(), activation='LeakyReLU')", Bad, "activation='leaky_relu'?"),
    ("fit(MLPClassifier(), activation='rleu')", Bad, "Did you mean activation='relu'?"),
    (
        "fit(MLPClassifier(), activation=np.tanh)",
        Bad,
        "Did you mean activation='tanh'?",
    ),
    ("fit(MLPClassifier(), activation=ReLU())", Bad, "Did you mean activation='relu'?"),
    ("fit(MLPClassifier(), activation=ReLU)", Bad, "Did you mean activation='relu'?"),
    ("fit(MLPClassifier(), activation=lambda z: z)", Bad, OWN_ACTIVATION),
    ("fit(MLPClassifier(), activation='snake')", Bad, OWN_ACTIVATION),
    (
        "fit(MLPClassifier(), activation=['sigmoid'])",
        ValueError,
        "Did you mean activation='logistic'?",
    ),
    ("fit(MLPRegressor(), loss='mse')", Bad, "Did you mean loss='squared_error'?"),
    ("fit(MLPRegressor(), loss='MSELoss')", Bad, "Did you mean loss='squared_error'?"),
    ("fit(MLPRegressor(), loss='mae')", Bad, "Did you mean loss='absolute_error'?"),
    ("fit(MLPRegressor(), loss='pinball')", Bad, "Did you mean loss='quantile'?"),
    ("fit(MLPRegressor(), loss='smooth_l1')", Bad, "Did you mean loss='huber'?"),
    ("fit(MLPRegressor(), loss='squared-error')", Bad, "mean loss='squared_error'?"),
    ("fit(MLPRegressor(), loss='reg:squarederror')", Bad, "mean loss='squared_error'?"),
    ("fit(MLPRegressor(), loss=mean_squared_error)", Bad, "loss='squared_error'?"),
    ("fit(MLPRegressor(), loss='dice')", Bad, OWN_LOSS),
    ("fit(MLPRegressor(), loss=lambda y, z: y - z)", Bad, OWN_LOSS),
    (
        "fit(MLPClassifier(), loss='cross_entropy')",
        Bad,
        "Did you mean loss='log_loss'?",
    ),
    ("fit(MLPClassifier(), loss='binary_crossentropy')", Bad, "mean loss='log_loss'?"),
    ("fit(MLPClassifier(), loss='categorical_crossentropy')", Bad, "loss='log_loss'?"),
    ("fit(MLPClassifier(), loss='log')", Bad, "Did you mean loss='log_loss'?"),
    ("fit(MLPClassifier(), loss='nll')", Bad, "Did you mean loss='log_loss'?"),
    ("fit(MLPClassifier(), loss='mse')", Bad, "Did you mean loss='squared_error'?"),
    (
        "fit(MLPClassifier(), loss='poisson')",
        Bad,
        "'poisson' is a loss of regression: use MLPRegressor.",
    ),
    (
        "fit(MLPRegressor(), loss='cross_entropy')",
        Bad,
        "Did you mean loss='log_loss'?",
    ),
    (
        "fit(MLPRegressor(), loss='hinge')",
        Bad,
        "'hinge' is a loss of classification: use MLPClassifier.",
    ),
    ("fit(MLPClassifier(), solver='Adam')", Bad, "Did you mean solver='adam'?"),
    ("fit(MLPClassifier(), solver='SGD')", Bad, "Did you mean solver='sgd'?"),
    ("fit(MLPClassifier(), solver='L-BFGS-B')", Bad, "Did you mean solver='lbfgs'?"),
    ("fit(MLPClassifier(), solver='momentum')", Bad, "Did you mean solver='sgd'?"),
    (
        "fit(MLPClassifier(), solver='adamw')",
        Bad,
        "Use solver='adam' with weight_decay > 0, which is decoupled from the gradient "
        "as in AdamW.",
    ),
    (
        "fit(MLPClassifier(), solver='nesterov')",
        Bad,
        "Use solver='sgd' with nesterovs_momentum=True, the default.",
    ),
    (
        "fit(MLPRegressor(), out_activation='sigmoid')",
        Bad,
        "Did you mean out_activation='logistic'?",
    ),
    (
        "fit(MLPClassifier(), learning_rate=0.001)",
        Bad,
        "The rate itself is learning_rate_init=0.001; this is its schedule.",
    ),
    (
        "fit(MLPClassifier(), learning_rate='0.1')",
        Bad,
        "The rate itself is learning_rate_init=0.1; this is its schedule.",
    ),
    (
        "fit(MLPClassifier(), activation='exp')",
        Bad,
        "It is an output activation: out_activation='exp' of MLPRegressor.",
    ),
    (
        "fit(MLPClassifier(), learning_rate='OneCycleLR')",
        Bad,
        "Did you mean learning_rate='one_cycle'?",
    ),
    (
        "fit(MLPClassifier(), learning_rate='ReduceLROnPlateau')",
        Bad,
        "Did you mean learning_rate='plateau'?",
    ),
    (
        "fit(MLPClassifier(), weight_init='xavier')",
        Bad,
        "weight_init='glorot_uniform'?",
    ),
    ("fit(MLPClassifier(), weight_init='kaiming')", Bad, "weight_init='he_uniform'?"),
    ("fit(MLPClassifier(), device='gpu')", Bad, "Did you mean device='cuda'?"),
    ("fit(MLPClassifier(), device='CUDA')", Bad, "Did you mean device='cuda'?"),
    ("fit(MLPClassifier(), device='gpu:1')", Bad, "Did you mean device='cuda:1'?"),
    ("fit(MLPClassifier(), device='cpu:0')", Bad, "Did you mean device='cpu'?"),
    ("fit(MLPClassifier(), device=0)", Bad, "Did you mean device='cuda:0'?"),
    ("fit(MLPClassifier(), device='mps')", Bad, NVIDIA),
    ("fit(MLPClassifier(), dtype='float16')", Bad, FLOATING),
    ("fit(MLPClassifier(), dtype='double')", Bad, "Did you mean dtype='float64'?"),
    ("fit(MLPClassifier(), dtype=int)", Bad, FLOATING),
    (
        "fit(MLPClassifier(), dtype='tf32')",
        Bad,
        "That is a precision of products: dtype='float32', matmul_precision='tf32'.",
    ),
    (
        "fit(MLPClassifier(), normalization='BatchNorm1d')",
        Bad,
        "normalization='batch'?",
    ),
    ("fit(MLPClassifier(), normalization=True)", Bad, "normalization='batch'?"),
    ("fit(MLPClassifier(), scoring='auc')", Bad, "Did you mean scoring='roc_auc'?"),
    ("fit(MLPClassifier(), scoring='acc')", Bad, "Did you mean scoring='accuracy'?"),
    ("fit(MLPRegressor(), scoring='R2')", Bad, "Did you mean scoring='r2'?"),
    (
        "fit(MLPRegressor(), scoring='rmse')",
        Bad,
        "Did you mean scoring='neg_root_mean_squared_error'?",
    ),
    (
        "fit(MLPClassifier(), early_stopping=True, scoring=roc_auc_score)",
        ValueError,
        "scoring=roc_auc_score is a metric of two arrays, but a scorer is called with "
        "(estimator, X, y). Pass scoring='roc_auc' or "
        "scoring=sklearn.metrics.make_scorer(roc_auc_score).",
    ),
    (
        "fit(MLPClassifier(), early_stopping=True, scoring=lambda a, b: 0)",
        ValueError,
        "Pass scoring=sklearn.metrics.make_scorer(<lambda>).",
    ),
    ("fit(MLPClassifier(), class_weight='auto')", Bad, "class_weight='balanced'?"),
    (
        "fit(MLPClassifier(), class_weight=np.array([1, 2]))",
        Bad,
        "Weights are by label: class_weight={0: 1.0, 1: 5.0}.",
    ),
]

# Values of a wrong kind.
VALUES = [
    (
        "fit(MLPRegressor((256, 256)))",
        Bad,
        "The first positional argument of MLPRegressor is loss: write "
        "hidden_layer_sizes=(256, 256).",
    ),
    (
        "fit(MLPRegressor((64,), 'relu'))",
        Bad,
        "'relu' is an activation: name the arguments, as in hidden_layer_sizes=(100,), "
        "activation='relu'.",
    ),
    (
        "fit(MLPClassifier(100, 50))",
        Bad,
        "The sizes of all layers are one argument: hidden_layer_sizes=(100, 50).",
    ),
    (
        "MLPClassifier((100,), 'relu', 'adam', 0.1)",
        TypeError,
        "takes from 1 to 3 positional arguments but 5 were given. Name the others: "
        "solver='adam', alpha=0.1.",
    ),
    (
        "fit(MLPClassifier('(100, 50)'))",
        Bad,
        "Write hidden_layer_sizes=(100, 50).",
    ),
    (
        "fit(MLPClassifier(True))",
        TypeError,
        "hidden_layer_sizes must be integers, got [True].",
    ),
    ("fit(MLPClassifier(), batch_size=32.0)", Bad, "as an integer: batch_size=32."),
    ("fit(MLPClassifier(100.0))", Bad, "as an integer: hidden_layer_sizes=100."),
    (
        "fit(MLPClassifier(), batch_size=None)",
        Bad,
        "batch_size='auto' is min(200, rows); Keras's default is 32.",
    ),
    (
        "fit(MLPClassifier(), alpha='0.1')",
        Bad,
        "Write the number without quotes: alpha=0.1.",
    ),
    (
        "fit(MLPClassifier(), dropout=50)",
        Bad,
        "It is a share, not per cent: dropout=0.5.",
    ),
    (
        "fit(MLPClassifier(), validation_fraction=20)",
        Bad,
        "It is a share, not per cent: validation_fraction=0.2.",
    ),
    (
        "fit(MLPRegressor(), loss='quantile', quantile=95)",
        Bad,
        "It is a share, not per cent: quantile=0.95.",
    ),
    (
        "fit(MLPClassifier(), early_stopping=10)",
        Bad,
        "Epochs without improvement are n_iter_no_change=10.",
    ),
    (
        "fit(MLPClassifier(), early_stopping='auto')",
        Bad,
        "It has no automatic choice: early_stopping=True or False.",
    ),
    ("fit(MLPClassifier(), shuffle='True')", Bad, "without quotes: shuffle=True."),
    ("fit(MLPClassifier(), early_stopping=None)", Bad, "mean early_stopping=False?"),
    ("fit(MLPClassifier(), max_time='60s')", Bad, "It is in seconds: max_time=60."),
    ("fit(MLPClassifier(), n_jobs='all')", Bad, "n_jobs=-1 uses all processors."),
    ("fit(MLPClassifier(), n_iter_no_change=None)", Bad, FOREVER),
    ("fit(MLPClassifier(), tol=None)", Bad, FOREVER),
    (
        "fit(MLPClassifier(), random_state=np.random.default_rng(0))",
        Bad,
        "RandomState(generator.bit_generator) of numpy.random makes it of a Generator; "
        "or pass an int.",
    ),
    (
        "MLPRegressor(solver='newton').partial_fit(X, YR)",
        Bad,
        "Did you mean solver='lbfgs'?",
    ),
    (
        "fit(MLPRegressor()).set_params(solver='Adam').partial_fit(X, YR)",
        Bad,
        "Did you mean solver='adam'?",
    ),
    (
        "fit(MLPRegressor()).set_params(loss='mse').partial_fit(X, YR)",
        Bad,
        "Did you mean loss='squared_error'?",
    ),
    (
        "fit(MLPRegressor()).set_params(learning_rate=0.1).partial_fit(X, YR)",
        Bad,
        "The rate itself is learning_rate_init=0.1; this is its schedule.",
    ),
]

# Arguments of fit and partial_fit.
ARGUMENTS = [
    ("MLPClassifier().fit(X, Y, eval_set=[(X, Y)])", TypeError, VALIDATION),
    ("MLPClassifier().fit(X, Y, validation_data=(X, Y))", TypeError, VALIDATION),
    ("MLPClassifier().fit(X, Y, callbacks=[])", TypeError, CALLBACKS),
    (
        "MLPClassifier().fit(X, Y, epochs=5)",
        TypeError,
        "MLPClassifier.fit() got an unexpected keyword argument 'epochs'. max_iter is "
        "a parameter of the constructor: MLPClassifier(max_iter=...).",
    ),
    (
        "MLPClassifier().fit(X, Y, batch_size=8)",
        TypeError,
        "batch_size is a parameter of the constructor: MLPClassifier(batch_size=...).",
    ),
    (
        "MLPClassifier().fit(X, Y, class_weight='balanced')",
        TypeError,
        "class_weight is a parameter of the constructor: "
        "MLPClassifier(class_weight=...).",
    ),
    ("MLPClassifier().fit(X, Y, sample_weights=Y)", TypeError, "mean sample_weight?"),
    ("MLPRegressor().fit(X, YR, weights=Y)", TypeError, "Did you mean sample_weight?"),
    ("MLPRegressor().fit(X, YR, X_valid=X)", TypeError, "Did you mean X_val?"),
    ("MLPRegressor().fit(X, YR, y_test=Y)", TypeError, "Did you mean y_val?"),
    (
        "MLPRegressor().fit(X, YR, None, X, YR)",
        TypeError,
        "MLPRegressor.fit() too many positional arguments. Validation data are "
        "keywords: X_val=..., y_val=...",
    ),
    (
        "MLPRegressor().fit(X)",
        TypeError,
        "MLPRegressor.fit() missing a required argument: 'y'",
    ),
    (
        "MLPRegressor().partial_fit(X, YR, epochs=2)",
        TypeError,
        "MLPRegressor.partial_fit() got an unexpected keyword argument 'epochs'. "
        "max_iter is a parameter of the constructor: MLPRegressor(max_iter=...).",
    ),
    (
        "MLPClassifier().fit(X, Y, classes=[0, 1])",
        TypeError,
        "classes is an argument of partial_fit of MLPClassifier.",
    ),
    (
        "MLPClassifier().hidden_activations()",
        TypeError,
        "MLPClassifier.hidden_activations() missing a required argument: 'X'",
    ),
    (
        "pipeline().fit(X, Y, mlpclassifier__eval_set=(X, Y))",
        TypeError,
        VALIDATION,
    ),
]

# Features and targets.
DATA = [
    (
        "MLPClassifier().fit(CITIES, Y)",
        ValueError,
        "could not convert string to float: 'Rome'. X has strings in the column "
        "'city'." + ENCODE,
    ),
    (
        "MLPClassifier().fit(FOUR, Y)",
        ValueError,
        "X has strings in the columns 'city', 'a', 'b' and 1 more." + ENCODE,
    ),
    (
        "MLPClassifier().fit(CITIES.astype({'city': 'category'}), Y)",
        ValueError,
        "X has strings in the column 'city'." + ENCODE,
    ),
    (
        "MLPClassifier().fit(with_item(X, (3, 2), 'a'), Y)",
        ValueError,
        "could not convert string to float: 'a'. X has strings in the column 2."
        + ENCODE,
    ),
    (
        "fit(MLPClassifier()).predict(with_item(X, (3, 2), 'a'))",
        ValueError,
        "X has strings in the column 2." + ENCODE,
    ),
    (
        "MLPClassifier().fit(np.full((60, 2), 'a'), Y)",
        ValueError,
        "could not convert X to numbers: it holds strings (dtype <U1)."
        f"{ENCODE} Strings of numbers: X.astype(float).",
    ),
    (
        "MLPClassifier().fit(X.astype(str), Y)",
        ValueError,
        "Strings of numbers: X.astype(float).",
    ),
    (
        "fit(MLPClassifier()).predict(X.astype(str))",
        ValueError,
        "Strings of numbers: X.astype(float).",
    ),
    (
        "MLPClassifier().fit(X.astype(str).tolist(), Y)",
        ValueError,
        "Strings of numbers: X.astype(float).",
    ),
    (
        "MLPClassifier().fit(WHEN, Y)",
        ValueError,
        "X has dates or durations in the columns 'when'" + DERIVE,
    ),
    (
        "MLPClassifier().fit(WHEN[['when']], Y)",
        ValueError,
        "X has dates or durations in the columns 'when'" + DERIVE,
    ),
    (
        "MLPClassifier().fit(DAYS.reshape(-1, 1), Y)",
        ValueError,
        "X holds dates or durations" + DERIVE,
    ),
    (
        "MLPClassifier().fit((DAYS - DAYS).reshape(-1, 1), Y)",
        ValueError,
        "X holds dates or durations" + DERIVE,
    ),
    (
        "MLPClassifier().fit(with_item(X, (3, 2), datetime.date(2024, 1, 1)), Y)",
        TypeError,
        "X has dates or durations in the column 2" + DERIVE,
    ),
    (
        "MLPClassifier().fit(GAPS, Y)",
        ValueError,
        "The columns are 'age', 'height', 'weight' and 1 more; "
        "SimpleImputer(add_indicator=True) fills them and says where.",
    ),
    (
        "MLPClassifier().fit(X, with_item(LABELS, 4, None))",
        ValueError,
        "Input y contains missing values, NaN or None: 1 of 60, the first at 4. Drop "
        "those rows of X and y.",
    ),
    (
        "MLPClassifier().fit(X, [None, *LABELS[1:]])",
        ValueError,
        "Input y contains missing values, NaN or None: 1 of 60, the first at 0. Drop "
        "those rows of X and y.",
    ),
    (
        "MLPClassifier().partial_fit(X, with_item(LABELS, 4, None), classes=['no'])",
        ValueError,
        "1 of 60, the first at 4. Drop those rows of X and y.",
    ),
    (
        "MLPClassifier().fit(X, with_item(LABELS, 4, 7))",
        ValueError,
        "y mixes labels of the types int and str, which cannot be sorted. Convert "
        "them: y.astype(str).",
    ),
    ("MLPClassifier().fit(X, [['a', 'b'], ['c']] * 30)", ValueError, BINARIZER),
    ("MLPClassifier().fit(X, [{'a', 'b'}, {'c'}] * 30)", ValueError, BINARIZER),
    ("MLPClassifier().fit(X, pd.Series([['a'], []] * 30))", ValueError, BINARIZER),
    (
        "MLPRegressor().fit(X, FRAME[['age', 'income']].drop(4).reindex(FRAME.index))",
        ValueError,
        "Input y contains NaN, in the column 'age' (1 row), the column 'income' "
        "(1 row). Drop those rows of X and y.",
    ),
    (
        "MLPClassifier().fit(X, FOUR[['city', 'a']].drop(4).reindex(FRAME.index))",
        ValueError,
        "in the column 'city' (1 row), the column 'a' (1 row). Drop those rows of X "
        "and y.",
    ),
    (
        "MLPClassifier().fit(X, np.column_stack([Y, with_item(Y * 1.0, 4, np.nan)]))",
        ValueError,
        "Input y contains NaN, in column 1 (1 row). Drop those rows of X and y.",
    ),
    (
        "MLPClassifier().fit(X, sparse.csr_array(np.full((60, 2), np.nan)))",
        ValueError,
        "in column 0 (60 rows), column 1 (60 rows). Drop those rows of X and y.",
    ),
    (
        "MLPClassifier().fit(X, (FRAME > 0) * 1.0).partial_fit(X, (FRAME > 0) * 2.0)",
        ValueError,
        "a matrix of labels has 0 and 1, but the column 'age' of y has [0. 2.].",
    ),
    (
        "MLPClassifier(loss='hinge').fit(X, np.column_stack([LABELS, LABELS]))",
        ValueError,
        "loss='hinge' with out_activation='auto' does not go with several columns of "
        "classes: use loss='log_loss' with out_activation='softmax' or 'auto'.",
    ),
    (
        "MLPClassifier().partial_fit(X, np.column_stack([Y, Y + 1]), classes=[0, 1])",
        ValueError,
        "are those of one: pass a list with the classes of each column.",
    ),
    (
        "MLPClassifier().fit(X, sparse.csr_array(np.column_stack([Y, Y + 1])))",
        ValueError,
        "Sparse y must be a matrix of labels, 0 or 1. For several columns of classes "
        "pass y.toarray().",
    ),
    (
        "MLPClassifier().fit(X, FRAME.assign(age=FRAME.age / 7, no=LABELS)"
        "[['age', 'no']])",
        ValueError,
        "Unknown label type: the column 'age' of y is continuous. A classifier needs "
        "discrete classes.",
    ),
    (
        "MLPClassifier().fit(X, pd.Series(LABELS).mask(pd.Series(Y) == 1))",
        ValueError,
        "Input y contains missing values, NaN or None: 30 of 60, the first at "
        f"{np.argmax(Y)}. Drop those rows of X and y.",
    ),
    (
        "MLPClassifier().fit(X, pd.Series(LABELS, dtype='string').mask(FRAME.age > 2))",
        ValueError,
        f"first at {np.argmax(FRAME.age > 2)}. Drop those rows of X and y.",
    ),
    (
        "MLPClassifier().fit(X, [datetime.date(2024, 1, 1)] * 60)",
        ValueError,
        "y holds dates or durations as Python objects. As labels: y.astype(str).",
    ),
    (
        "MLPClassifier().fit('data.csv', Y)",
        ValueError,
        "X must be an array, got the str 'data.csv'.",
    ),
    (
        "MLPClassifier().fit({'a': Y}, Y)",
        TypeError,
        "X must be an array, got a dict: use pandas.DataFrame(X).",
    ),
    (
        "MLPClassifier().fit(GAPS.to_numpy(), Y)",
        ValueError,
        "The columns are 0, 1, 2 and 1 more; SimpleImputer(add_indicator=True) fills "
        "them and says where.",
    ),
    (
        "MLPClassifier().fit(FRAME, 'age')",
        ValueError,
        "y must be an array, got the str 'age': pass the column of that name.",
    ),
    (
        "MLPRegressor().fit(X, LABELS)",
        ValueError,
        "could not convert y to numbers: it holds strings, as 'yes'. For class labels "
        "use MLPClassifier; strings of numbers: np.asarray(y).astype(float).",
    ),
    (
        "MLPRegressor().fit(X, OBJECTS)",
        ValueError,
        "For class labels use MLPClassifier; strings of numbers: "
        "np.asarray(y).astype(float).",
    ),
    (
        "MLPRegressor().fit(X, YR.astype(str))",
        ValueError,
        "strings of numbers: np.asarray(y).astype(float).",
    ),
    (
        "MLPRegressor().fit(X, YR.astype(str).tolist())",
        ValueError,
        "strings of numbers: np.asarray(y).astype(float).",
    ),
    (
        "MLPRegressor().fit(X, DAYS)",
        ValueError,
        "could not convert y to numbers: it holds dates. Pass numbers, as the days "
        "since the first: (y - y.min()) / np.timedelta64(1, 'D').",
    ),
    (
        "MLPRegressor().fit(X, pd.Series(DAYS))",
        ValueError,
        "since the first: (y - y.min()) / np.timedelta64(1, 'D').",
    ),
    (
        "MLPRegressor().fit(X, DAYS - DAYS)",
        ValueError,
        "could not convert y to numbers: it holds durations. Pass numbers, as seconds: "
        "y / np.timedelta64(1, 's').",
    ),
    (
        "MLPRegressor().fit(X, with_item(YR, 4, None))",
        ValueError,
        "Input y contains missing values, NaN or None: 1 of 60, the first at 4. Drop "
        "those rows of X and y.",
    ),
    (
        "MLPRegressor().fit(X, sparse.csr_array(YR.reshape(-1, 1)))",
        TypeError,
        "Sparse data was passed for y, but dense data is required: y.toarray().",
    ),
    (
        "MLPClassifier(out_activation='softmax').fit(X, np.eye(2)[Y])",
        ValueError,
        "If each row of y marks one class by a 1, pass y.argmax(axis=1).",
    ),
]
MISTAKES = [*KEYWORDS, *NAMES, *VALUES, *ARGUMENTS, *DATA]

# Warnings.
WARNINGS = [
    ("fit(MLPClassifier())", ConvergenceWarning, "resume(X, y, max_iter=2)."),
    (
        "fit(MLPClassifier(batch_size=100))",
        UserWarning,
        "It is going to be clipped: batch_size=100 becomes 60, the number of rows to "
        "train on.",
    ),
    (
        "MLPClassifier(max_iter=1).fit(X, Y.reshape(-1, 1))",
        DataConversionWarning,
        "to (n_samples, ), for example using ravel().",
    ),
    ("pipeline().fit(X, Y)", ConvergenceWarning, "resume(X, y, max_iter=2)."),
]


@pytest.mark.parametrize(("code", "error", "sentence"), MISTAKES, ids=lambda part: part)
def test_a_mistake_is_answered(code, error, sentence):
    with pytest.raises(error) as caught:
        eval(code)
    message = str(caught.value)
    assert message.endswith(sentence)
    assert "BaseMLP" not in message
    assert "skmlp." not in message.replace("skmlp.Loss", "").replace(
        "skmlp.Activation", ""
    )


@pytest.mark.parametrize(("code", "category", "sentence"), WARNINGS)
def test_a_warning_is_given_once_at_the_line_of_the_user(code, category, sentence):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        eval(compile(code, "<the user's line>", "eval"), {**globals(), "fit": user_fit})
    found = [each for each in caught if each.category is category]
    assert len(found) == 1
    assert str(found[0].message).endswith(sentence)
    assert found[0].filename in ("<the user's line>", __file__)


def user_fit(estimator):
    return fit(estimator)


def test_the_table_is_long_and_has_no_row_twice():
    codes = [code for code, _, _ in MISTAKES]
    assert len(codes) == len(set(codes))
    assert len(codes) >= 120


@pytest.mark.parametrize("parameter", aliases.ALIASES)
def test_aliases_lead_to_values_that_are_allowed(parameter):
    """And no name of others leads to two of ours."""
    allowed = {
        option
        for kind in (MLPClassifier, MLPRegressor)
        for constraint in kind._parameter_constraints[parameter]
        for option in getattr(constraint, "options", ())
    }
    table = aliases.ALIASES[parameter]
    used = {name for name in table if name in allowed}
    assert used
    words = [word for text in table.values() for word in text.split()]
    assert len(words) == len(set(words))


def test_aliases_of_parameters_lead_to_parameters():
    parameters = {*MLPClassifier().get_params(), *MLPRegressor().get_params()}
    assert parameters >= set(other_names.PARAMETERS)
    assert parameters >= {*other_names.VALUES, *other_names.VALUE_ADVICE}
    words = [
        word
        for table in (other_names.PARAMETERS.values(), other_names.ADVICE)
        for text in table
        for word in text.split()
    ]
    assert len(words) == len(set(words))


@pytest.mark.parametrize("name", ["activation", "scoring", "device", "out_activation"])
def test_messages_list_names_in_one_order(name):
    with pytest.raises(InvalidParameterError) as caught:
        fit(MLPClassifier(), **{name: "xyzzy"})
    listed = str(caught.value).partition("{")[2].partition("}")[0].split(", ")
    if name == "scoring":
        assert listed[0] == "'loss'"
        assert listed[1:] == sorted(listed[1:])
    first = {"activation": "'identity'", "scoring": "'loss'"}
    assert listed[0] == first.get(name, "'auto'")


@pytest.mark.parametrize(
    "scoring", [make_scorer(f1_score), "f1", lambda estimator, X, y: 0.5]
)
def test_scorers_are_no_metrics(scoring):
    fit(MLPClassifier(), early_stopping=True, scoring=scoring)


def test_numbers_as_objects_are_taken_as_by_scikit_learn():
    expected = fit(MLPRegressor(random_state=0))
    found = MLPRegressor(random_state=0, max_iter=1)
    found.fit(X.astype(str).astype(object), YR.astype(str).astype(object))
    np.testing.assert_array_equal(found.coefs_[0], expected.coefs_[0])
