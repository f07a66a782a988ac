"""What the docstrings of both tabular estimators share."""

from skmlp.estimators import annotations as typed
from skmlp.estimators.doc_entries import as_written

_PARAMETERS = """
preset : {'fast', 'default', 'best'}, default='default'
    'fast' trains three networks, 'default' six, 'best' twenty-four, most of which have
    random hyperparameters. Greedy selection on the validation rows weighs them [3]_.
    Tables of less than 1,000 rows are validated by folds; with 'fast' and 'default'
    all networks weigh the same then.
n_members : int, default=None
    Number of networks, or for 'best' of hyperparameters. None is the preset's.
scoring : str, callable or None, default=None
    What selects the best epoch, as in `MLPClassifier`: accuracy, R², 'loss' for the
    loss. None is the recipe's: R², and for classes accuracy or the loss.
categorical_features : 'from_dtype', None or array-like, default='from_dtype'
    Columns to treat as categories beside those that hold levels or strings: names,
    indices or a boolean mask.
validation : {'random', 'last'}, default='random'
    Which rows select the epochs: random ones, stratified by class, or the last ones,
    for rows that are ordered in time.
validation_fraction : float, default=0.2
    Fraction of the rows that select the epochs.
max_time : float, default=None
    Limit of `fit` in seconds. Epochs, then members are left out to keep it.
mlp_params : dict, default=None
    Parameters of the members, in place of the recipe's.
n_jobs : int, default=None
    Threads, as in `MLPClassifier`. The model does not depend on it.
random_state : int, RandomState instance or None, default=None
    Determines rows, initial weights and the order of training.
verbose : bool, default=False
    Whether to print a line for each network that is trained.
"""

_ATTRIBUTES = """
members_ : list
    The networks, fitted plain estimators of ``preprocessor_.transform(X)``.
member_weights_ : ndarray of shape (n_members,)
    Weights in the average; their sum is one.
preprocessor_ : TabularPreprocessor
validation_scores_ : ndarray of shape (n_members,)
    Of each network on its validation rows: negative log-loss, or R² minus one.
feature_importances_ : ndarray of shape (`n_features_in_`,)
    Permutation importances on validation rows.
n_features_in_ : int
feature_names_in_ : ndarray of shape (`n_features_in_`,)
    Only if X has column names that are all strings.
"""

_REFERENCES = """
.. [1] D. Holzmüller, L. Grinsztajn and I. Steinwart, "Better by default: strong
   pre-tuned MLPs and boosted trees on tabular data", NeurIPS 2024.
.. [2] C. Guo, G. Pleiss, Y. Sun and K. Weinberger, "On calibration of modern neural
   networks", ICML 2017.
.. [3] R. Caruana, A. Niculescu-Mizil, G. Crew and A. Ksikes, "Ensemble selection from
   libraries of models", ICML 2004.
"""


def with_tabular_docs(cls: typed.Class) -> typed.Class:
    """A class decorator that fills the shared parts of a docstring in."""
    if cls.__doc__ is not None:
        parts = {
            "parameters": _PARAMETERS,
            "attributes": _ATTRIBUTES,
            "references": _REFERENCES,
        }
        indented = {
            name: text.strip().replace("\n", "\n    ") for name, text in parts.items()
        }
        cls.__doc__ = as_written(cls.__doc__).format(**indented)
    return cls
