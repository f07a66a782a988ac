"""Time of predictions of few rows that are no plain array, beside scikit-learn.

Ten rows of hashed text, of a model with 2^17 features; and one row of a DataFrame with
6 numbers and 8 categories, as a service gets it. scikit-learn reads the row by a
ColumnTransformer with a one-hot encoder and a scaler before its own MLP.

The figures are medians of calls, taken in short series in turns.
"""

import warnings
from functools import partial

import numpy as np
import pandas as pd
import predict
import scenario
from scipy import sparse
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import skmlp

_FEATURES, _WORDS, _TEXTS, _UNITS = 2**17, 200, 400, 64
_ROWS, _NUMBERS, _CATEGORIES, _LEVELS = 2_000, 6, 8, "abcdefgh"


def texts():
    """Rows of about 200 words each, and one of five topics."""
    generator = np.random.default_rng(0)
    density = _WORDS / _FEATURES
    X = sparse.random(
        _TEXTS, _FEATURES, density, format="csr", dtype=np.float32, rng=generator
    )
    return X, generator.integers(0, 5, _TEXTS)


def table():
    """A frame of numbers and categories, and one of two classes."""
    generator = np.random.default_rng(0)
    columns = {f"n{i}": generator.standard_normal(_ROWS) for i in range(_NUMBERS)}
    for i in range(_CATEGORIES):
        columns[f"c{i}"] = generator.choice([*_LEVELS], _ROWS)
    frame = pd.DataFrame(columns)
    is_one = frame["n0"] + (frame["c0"] == "a") > 0
    return frame, np.where(is_one, "yes", "no")


def text_models():
    X, y = texts()
    peers = {"skmlp": skmlp.MLPClassifier, "sklearn": MLPClassifier}
    models = {
        name: cls((_UNITS,), max_iter=1, random_state=0).fit(X, y)
        for name, cls in peers.items()
    }
    return models, X[:10]


def table_models(preset):
    X, y = table()
    transformer = make_column_transformer(
        (StandardScaler(), make_column_selector(dtype_include=np.number)),
        (
            OneHotEncoder(handle_unknown="ignore", sparse_output=False),
            make_column_selector(dtype_exclude=np.number),
        ),
    )
    models = {
        "skmlp": skmlp.TabularMLPClassifier(preset=preset, random_state=0, n_jobs=1),
        "sklearn": make_pipeline(transformer, MLPClassifier(max_iter=5)),
    }
    return {name: model.fit(X, y) for name, model in models.items()}, X.iloc[:1]


def line(entry):
    ours, theirs = (1e6 * entry["seconds"][name] for name in ("skmlp", "sklearn"))
    return (
        f"{entry['name']:<46}{ours:>9.0f} us{theirs:>9.0f} us"
        f"{scenario.against(entry['ratio'], entry['goal'])}"
    )


def setup(options):
    """Print the heading."""
    print(f"predict_proba, medians of {options.calls} calls\n")
    print(f"{'':<46}{'skmlp':>12}{'sklearn':>12}{'ratio':>8}{'goal':>8}")


def measure(_, options):
    """Yield an entry for each kind of rows."""
    cases = {
        "10 rows of 2^17 sparse features": text_models,
        "a row of a DataFrame, preset 'fast'": partial(table_models, "fast"),
        "a row of a DataFrame, preset 'default'": partial(table_models, "default"),
    }
    for name, make in cases.items():
        with warnings.catch_warnings():
            # How well they are fitted does not matter.
            warnings.simplefilter("ignore", UserWarning)
            models, X = make()
        calls = {key: partial(model.predict_proba, X) for key, model in models.items()}
        seconds = predict.seconds_in_series(calls, options.calls)
        ratio = seconds["sklearn"] / seconds["skmlp"]
        yield {"name": name, "seconds": seconds, "ratio": ratio, "goal": 1.0}


SCENARIO = scenario.Scenario(
    doc=__doc__,
    quick="fewer calls",
    setup=setup,
    measure=measure,
    line=line,
    options={"calls": {"type": int, "full": 1_000, "brief": 200}},
    goal=1.0,
)


if __name__ == "__main__":
    SCENARIO.main()
