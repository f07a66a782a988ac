"""What the docstrings of both tabular estimators share."""

_PARAMETERS = """
preset : {'fast', 'default', 'best'}, default='default'
    'fast' trains two networks, 'default' six, 'best' twenty-four of random
    hyperparameters, of which greedy selection on the validation rows picks those that
    are averaged. Tables of less than 1,000 rows are validated by folds.
n_members : int, default=None
    Number of networks, or for 'best' of hyperparameters. None is the preset's.
scoring : str, callable or None, default=None
    What selects the best epoch, as in `MLPClassifier`: None is accuracy or R², 'loss'
    is the loss.
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
    Best score of each network on its validation rows.
feature_importances_ : ndarray of shape (n_features_in_,)
    Permutation importances on validation rows.
n_features_in_ : int
feature_names_in_ : ndarray of shape (n_features_in_,)
    Only if X has column names that are all strings.
"""

_REFERENCES = """
.. [1] D. Holzmüller, L. Grinsztajn and I. Steinwart, "Better by default: strong
   pre-tuned MLPs and boosted trees on tabular data", NeurIPS 2024.
.. [2] C. Guo, G. Pleiss, Y. Sun and K. Weinberger, "On calibration of modern neural
   networks", ICML 2017.
"""


def with_tabular_docs(cls):
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
        cls.__doc__ = cls.__doc__.format(**indented)
    return cls
