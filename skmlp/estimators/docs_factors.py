"""Docstrings of parameters of the training: factors, schedules, the best epoch."""

FACTORS = """
weight_decay_schedule : {'constant', 'flat_cosine'}, default='constant'
    Schedule of ``weight_decay``, which the scheduled learning rate multiplies, too:
    'flat_cosine' is all of it up to half of ``max_iter`` epochs, and then falls to 0 by
    half a cosine. ``partial_fit``, which knows no last epoch, refuses it.

dropout_schedule : {'constant', 'flat_cosine'}, default='constant'
    Schedule of the rates ``dropout``, likewise, step by step.

learning_rate_factors : 'ntk' or array-like of shape (n_layers - 1,), default=None
    Factors of the learning rate of each layer's weights, the output layer included, for
    the stochastic solvers; positive. 'ntk' is ``1 / sqrt(fan_in)`` for each layer, with
    'adam' and its relatives the NTK parametrization (Jacot et al., 2018; Holzmüller et
    al., 2024): the best ``learning_rate_init`` then depends less on the width.
    ``weight_decay`` is not multiplied: it stays that of the scheduled rate.

bias_learning_rate_factor : float, default=1.0
    Factor of the learning rate of the biases, and of the scales of ``normalization``; 0
    leaves them as they are.

best_epoch : {'first', 'last'}, default='first'
    Which of several epochs of the same best score early stopping keeps. Scores such as
    the accuracy on few rows are often the same; the last one has trained longer.
"""
