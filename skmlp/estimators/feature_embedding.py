"""The embedding of the features, from the parameters and the training data."""

from scipy import sparse

from skmlp.embedding import fitted_embedding


def check_embedding(estimator):
    """Refuse what the embedding of features does not go together with.

    Raises
    ------
    ValueError
    """
    if estimator.embedding is None:
        return
    obstacles = {
        "normalization": estimator.normalization == "batch",
        "input_noise": estimator.input_noise > 0,
    }
    for name, is_obstacle in obstacles.items():
        if is_obstacle:
            raise ValueError(
                f"embedding={estimator.embedding!r} does not support "
                f"{name}={getattr(estimator, name)!r}."
            )


def feature_embedding(estimator, sample, *, resumes):
    """The embedding of the features.

    Parameters
    ----------
    estimator : BaseMLP
    sample : Sample
        The training data.
    resumes : bool
        Whether a training goes on, with the bins of its first data.

    Returns
    -------
    skmlp.embedding.Embedding or None
        None also where no column has enough values for bins.

    Raises
    ------
    ValueError
        For sparse X.
    """
    if resumes:
        # A model whose attributes a user has put together has none.
        return getattr(estimator, "_embedding", None)
    if estimator.embedding is None:
        return None
    if sparse.issparse(sample.x):
        raise ValueError(
            f"embedding={estimator.embedding!r} needs dense X: most numbers of a "
            "sparse X are zero, and their quantiles say nothing."
        )
    x = sample.x[sample.row_ids]
    embedding = fitted_embedding(x, estimator.n_bins, estimator.embedding_dim)
    return embedding if embedding.columns else None
