"""The documentation of what rare classes need, apart from `docs` for its length."""

SAMPLING = """
sampling : {'balanced', 'weights'} or None, default=None
    How a stochastic solver chooses the rows of an epoch. None takes all of them once,
    and weights scale their gradients. The others draw as many rows with replacement,
    so that minibatches have more rows that matter and the same expected gradient:

    - 'weights' draws a row with a probability in proportion to its weight,
      ``sample_weight`` times ``class_weight``; all rows drawn then count alike;
    - 'balanced' draws rows of each class equally often on average, as
      ``class_weight='balanced'`` would weigh them. ``sample_weight`` and a dict of
      ``class_weight`` still scale the gradients. Not for regression, labels that may
      occur together, or together with ``class_weight='balanced'``.

    ``loss_curve_`` is the mean loss of the rows drawn. ``partial_fit`` draws among the
    rows of the chunk. ``alpha`` counts as without sampling. Running means of
    ``normalization='batch'`` are those of the rows drawn.
"""

CLASS_PRIORS = """
logit_adjustment : float, default=0.0
    Strength tau of the adjustment of decisions by the classes' shares, not below zero
    (Menon et al., 2021): the network learns z + tau log(share), and ``predict`` and
    ``decision_function`` use z. With 1 all classes are equally likely to be found
    (least balanced error) rather than all rows (least error, 0). Probabilities stay
    those of the training data's shares: with an adjustment ``predict`` is not the
    largest of ``predict_proba``, as after `TunedThresholdClassifierCV`.

prior : dict, 'uniform', array-like of shape (n_classes,) or None, default=None
    Shares of the classes where the model will be used, if they are not those of the
    training data, as after rows of the frequent class were dropped: probabilities and
    decisions are for these shares (King and Zeng, 2001; Saerens et al., 2002). A dict
    by label, an array in the order of ``classes_``, positive and of sum 1, or 'uniform'
    for equal ones; for labels that may occur together the share of each in (0, 1), by
    the number or the name of its column.

    The training data's shares, ``class_shares_``, are weighted by ``sample_weight``,
    ``class_weight`` and ``sampling``. So with ``class_weight={1: 20}`` and the true
    shares as ``prior`` the probabilities are calibrated. ``logit_adjustment`` then
    adjusts by ``prior``.

    Both are for losses that are least at the true probabilities, which 'hinge',
    'squared_hinge' and 'focal' are not, by softmax for several classes. Losses on
    training and validation data are those without them. ``partial_fit`` refuses both.
"""
