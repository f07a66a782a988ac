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
