"""A topic with 40 articles among 18,000: remedies for imbalance, beside linear models.

Each topic in turn is the rare class: 40 of its articles are kept, all articles of the
other topics are the rest. With ``--data`` the texts are 20 newsgroups, as TF-IDF;
without, rows of the same shape are generated (see `sparse_text.py`). A split in halves
trains on 20 articles of the topic and holds 20 out.
"""

import numpy as np
import rare_class
import real_data
import scenario
import sparse_text
from sklearn import neural_network
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import ComplementNB
from sklearn.svm import LinearSVC

import skmlp

_N_POSITIVES, _MAX_WORDS = 40, 20_000
_UNITS, _EPOCHS = (32,), 10
_COMMON = {"hidden_layer_sizes": _UNITS, "random_state": 0}


def _minibatches(library, **params):
    """A network that is trained for some epochs, all of them."""
    return library.MLPClassifier(
        max_iter=_EPOCHS, tol=0.0, n_iter_no_change=10 * _EPOCHS, **_COMMON, **params
    )


def _whole(**params):
    """A network that L-BFGS trains on all rows at once."""
    return skmlp.MLPClassifier(solver="lbfgs", max_iter=200, **_COMMON, **params)


def methods():
    """Each method by name, with whether it gets balanced weights in fit.

    Returns
    -------
    dict of (estimator, bool)
    """
    balanced = {"class_weight": "balanced"}
    drawn = {"sampling": "balanced"}
    sgd = {"solver": "sgd", "learning_rate_init": 0.3}
    return {
        "sklearn MLP": (_minibatches(neural_network), False),
        "sklearn MLP, weights": (_minibatches(neural_network), True),
        "LogisticRegression, balanced": (
            LogisticRegression(max_iter=1000, **balanced),
            False,
        ),
        "LinearSVC, balanced": (LinearSVC(**balanced), False),
        "ComplementNB": (ComplementNB(), False),
        "adam": (_minibatches(skmlp), False),
        "adam, class_weight": (_minibatches(skmlp, **balanced), False),
        "adam, focal": (_minibatches(skmlp, loss="focal"), False),
        "adam, logit_adjustment": (_minibatches(skmlp, logit_adjustment=1.0), False),
        "adam, sampling": (_minibatches(skmlp, **drawn), False),
        "adam, sampling, alpha=0.1": (_minibatches(skmlp, alpha=0.1, **drawn), False),
        "sgd, class_weight": (_minibatches(skmlp, **sgd, **balanced), False),
        "sgd, sampling": (_minibatches(skmlp, **sgd, **drawn), False),
        "lbfgs, class_weight, alpha=1": (_whole(alpha=1.0, **balanced), False),
    }


def setup(options):
    """X and the topics, and the heading."""
    if options.data:
        loader = real_data.loader(options.data)
        news = loader.load("twenty_newsgroups")
        texts = [*news.X_train, *news.X_test]
        X = loader.tfidf(texts, max_features=_MAX_WORDS)[0]
        topics = np.concatenate([news.y_train, news.y_test])
    else:
        X, topics = sparse_text.generated()
    print(f"{X.shape[0]:,} x {X.shape[1]:,}, {X.nnz:,} entries; {_N_POSITIVES} of a")
    print(
        f"topic against the rest, {options.topics} topics, {options.repeats} x 2 folds"
    )
    return X.astype(np.float32), topics


def rare(X, topics, topic):
    """Rows with few of one topic, and whether a row is of that topic."""
    generator = np.random.RandomState(topic)
    of_topic = generator.choice(
        np.flatnonzero(topics == topic), _N_POSITIVES, replace=False
    )
    rows = np.sort(np.concatenate([of_topic, np.flatnonzero(topics != topic)]))
    return X[rows], (topics[rows] == topic).astype(int)


def measure(state, options):
    """One table over all topics, and what the best remedies differ by."""
    X, topics = state
    chosen = np.unique(topics)[:: max(1, len(np.unique(topics)) // options.topics)]
    parts = [
        rare_class.by_fold(methods(), *rare(X, topics, topic), options.repeats)
        for topic in chosen[: options.topics]
    ]
    found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    yield from rare_class.table(found)
    best = max(
        (name for name in found if name.startswith(("adam", "sgd", "lbfgs"))),
        key=lambda name: found[name][:, 0].mean(),
    )
    yield ""
    for other in ("sklearn MLP, weights", "LogisticRegression, balanced"):
        yield rare_class.compared(found, best, other)
    yield rare_class.compared(found, best, "LinearSVC, balanced")
    yield {name: rows.tolist() for name, rows in found.items()}


def line(entry):
    """Nothing: the table has the figures."""
    return ""


SCENARIO = scenario.Scenario(
    doc=__doc__,
    quick="one topic, one split in halves",
    setup=setup,
    measure=measure,
    line=line,
    options={
        "data": scenario.folder("twenty_newsgroups"),
        "topics": {"type": int, "full": 4, "brief": 1},
        "repeats": {"type": int, "full": 5, "brief": 1},
    },
)

if __name__ == "__main__":
    SCENARIO.main()
