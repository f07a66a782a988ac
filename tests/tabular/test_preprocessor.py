"""The encoding of tables: each kind of column, from each library, and bad tables."""

import copy
import datetime
import pickle

import numpy as np
import pandas as pd
import polars
import pytest
from conftest import mixed_table, plain_columns
from scipy import sparse
from sklearn.utils.estimator_checks import parametrize_with_checks

from skmlp import TabularPreprocessor

NAN = float("nan")


@parametrize_with_checks([TabularPreprocessor()])
@pytest.mark.filterwarnings("default")
def test_check(estimator, check):
    check(estimator)


def encoded(X, **settings):
    encoder = TabularPreprocessor(**settings)
    values = encoder.fit_transform(X)
    return dict(zip(encoder.get_feature_names_out(), values.T, strict=True))


def smooth_clip(z):
    return z / np.sqrt(1 + (z / 3) ** 2)


def test_numbers_are_scaled_by_median_and_quartiles():
    x = np.array([0.0, 1.0, 2.0, 3.0, 1000.0])
    found = encoded(pd.DataFrame({"x": x}))["x"]
    np.testing.assert_allclose(found, smooth_clip((x - 2.0) / 2.0), rtol=1e-6)


def test_without_quartiles_half_the_range_scales():
    x = np.array([0.0] * 9 + [4.0])
    found = encoded(pd.DataFrame({"x": x}))["x"]
    np.testing.assert_allclose(found, smooth_clip(x / 2.0), rtol=1e-6)


@pytest.mark.parametrize(
    "values",
    [
        [7.0] * 5,
        [0.1 + 0.2, 0.3, 0.3, 0.3, 0.3],
        [NAN] * 5,
        ["a"] * 5,
        [None] * 5,
        [True] * 5,
    ],
    ids=["constant", "rounding", "nan", "level", "none", "bool"],
)
def test_constants_are_dropped(values):
    frame = pd.DataFrame({"x": values, "z": range(5)})
    assert list(encoded(frame)) == ["z"]


def test_missing_numbers_are_the_median_with_an_indicator():
    found = encoded(pd.DataFrame({"x": [1.0, 2.0, NAN, 3.0]}))
    assert found["x"][2] == 0
    assert len(set(found["x_missing"][[0, 1, 3]])) == 1
    assert found["x_missing"][2] > found["x_missing"][0]


def test_huge_numbers_stay_finite():
    x = np.array([-1.7e308, 1.7e308, 0.0, 5e-324, 1e300])
    assert np.isfinite(encoded(pd.DataFrame({"x": x}))["x"]).all()


def test_infinite_numbers_are_missing_with_a_warning():
    frame = pd.DataFrame({"x": [1.0, np.inf, 3.0, 4.0], "y": range(4)})
    with pytest.warns(UserWarning, match=r"infinite values in column 'x'\. They are"):
        found = encoded(frame)
    assert found["x"][1] == 0
    assert "x_missing" in found


def test_levels_missing_and_infrequent_ones_have_columns():
    colors = ["r", "r", "g", "g", "b", "b", None, "once"]
    names = list(encoded(pd.DataFrame({"c": colors})))
    assert names == ["c_r", "c_g", "c_b", "c_infrequent", "c_missing"]


def test_two_levels_share_a_column():
    found = encoded(pd.DataFrame({"c": ["r", "g", "r"]}))
    assert list(found) == ["c_r"]


def test_unknown_levels_are_infrequent_or_nothing():
    encoder = TabularPreprocessor().fit(pd.DataFrame({"c": ["r", "g", "b"] * 2}))
    new = encoder.transform(pd.DataFrame({"c": ["never", None]}))
    known = encoder.transform(pd.DataFrame({"c": ["r", "g", "b"]}))
    np.testing.assert_array_equal(new, np.tile(known.min(axis=0), (2, 1)))
    encoder.fit(pd.DataFrame({"c": ["r", "g", "b"] * 2 + ["once"]}))
    new = encoder.transform(pd.DataFrame({"c": ["never", "once"]}))
    np.testing.assert_array_equal(new[0], new[1])


def test_high_cardinality_is_bounded():
    frame = pd.DataFrame({"c": [f"user{i % 1500}" for i in range(3000)]})
    assert TabularPreprocessor().fit(frame).n_features_out_ == 257


def test_dates_have_parts_and_elapsed_days():
    frame = pd.DataFrame(
        {
            "d": pd.to_datetime(
                ["2024-02-29 06:30", "2025-03-01 00:00", None, "2024-07-05 12:00"]
            )
        }
    )
    assert set(encoded(frame)) == {
        *(f"d_{part}" for part in ("year", "month", "day", "day_of_week", "hour")),
        "d_elapsed",
        "d_missing",
    }


def test_time_zones_are_taken_out():
    dates = pd.date_range("2024-01-01", periods=9, freq="37h")
    here = pd.DataFrame({"d": dates.tz_localize("UTC").tz_convert("Asia/Tokyo")})
    for name, values in encoded(pd.DataFrame({"d": dates})).items():
        np.testing.assert_array_equal(encoded(here)[name], values)


def by_library():
    """The same table in each library that is installed."""
    plain = plain_columns(mixed_table())
    yield "polars", polars.DataFrame(plain)
    yield "objects", pd.DataFrame(plain, dtype=object)
    yield "array", np.array(list(zip(*plain.values(), strict=True)), dtype=object)
    try:
        import pyarrow
    except ImportError:
        return
    yield "arrow", pyarrow.table(plain)


@pytest.mark.parametrize(
    ("library", "X"), [pytest.param(*pair, id=pair[0]) for pair in by_library()]
)
def test_each_library_gives_the_same_encoding(library, X):
    frame = mixed_table()
    expected = TabularPreprocessor().fit_transform(frame)
    encoder = TabularPreprocessor()
    np.testing.assert_array_equal(encoder.fit_transform(X), expected)
    np.testing.assert_array_equal(encoder.transform(X), expected)


def test_nullable_columns_are_read():
    frame = pd.DataFrame(
        {
            "i": pd.array([1, None, 3], dtype="Int64"),
            "f": pd.array([1.5, None, 3.5], dtype="Float64"),
            "b": pd.array([True, None, False], dtype="boolean"),
            "s": pd.array(["a", None, "b"], dtype="string"),
            "p": pd.period_range("2024-01", periods=3, freq="M"),
        }
    )
    assert np.isfinite(TabularPreprocessor().fit_transform(frame)).all()


def test_dates_of_python_are_dates():
    frame = pd.DataFrame({"d": [datetime.date(2024, 1, day) for day in (1, 5, 9)]})
    assert "d_elapsed" in encoded(frame)


def test_sparse_columns_stay_sparse():
    words = sparse.random(60, 30, 0.1, random_state=0, format="csr")
    frame = pd.DataFrame.sparse.from_spmatrix(
        words, columns=[f"w{i}" for i in range(30)]
    )
    frame["age"] = np.arange(60.0)
    encoder = TabularPreprocessor()
    found = encoder.fit_transform(frame)
    assert sparse.issparse(found)
    assert found.dtype == np.float32
    largest = words.max(axis=0).toarray()
    expected = words.toarray() / np.where(largest > 0, largest, 1)
    np.testing.assert_allclose(found.toarray()[:, 1:], expected, rtol=1e-6)


@pytest.mark.parametrize("chosen", [["rooms"], [1], [False, True] + [False] * 6])
def test_numbers_can_be_categories(chosen):
    names = encoded(mixed_table(), categorical_features=chosen)
    assert "rooms_3" in names
    assert "rooms" not in names


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda X: X.assign(age="old"),
            r"Column 'age' of X is a column of numbers and cannot",
        ),
        (
            lambda X: X.assign(built="now"),
            r"Column 'built' of X is a column of dates and cannot",
        ),
        (lambda X: X.drop(columns="age"), r"yet now missing:\n- age"),
        (lambda X: X.assign(new=1), r"unseen at fit time:\n- new"),
        (lambda X: X[["age", "age"]], r"more than one column named 'age'\. Rename"),
        (lambda X: X.iloc[:0], r"Found array with 0 sample\(s\)"),
        (lambda X: X[[]], r"Found array with 0 feature\(s\)"),
    ],
)
def test_tables_that_do_not_fit(change, message):
    frame = mixed_table()
    encoder = TabularPreprocessor().fit(frame)
    before = encoder.transform(frame)
    with pytest.raises(ValueError, match=message):
        encoder.transform(change(frame))
    np.testing.assert_array_equal(encoder.transform(frame), before)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (["ages"], r"contains 'ages', which is neither the name nor the index"),
        ([8], r"contains 8, which is neither"),
        ([True, False], r"boolean mask should have shape \(8,\), got: \(2,\)"),
    ],
)
def test_unknown_categorical_features(chosen, message):
    with pytest.raises(ValueError, match=message):
        TabularPreprocessor(chosen).fit(mixed_table())


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_copies_encode_alike(copied):
    frame = mixed_table()
    encoder = TabularPreprocessor().fit(frame)
    np.testing.assert_array_equal(
        copied(encoder).transform(frame), encoder.transform(frame)
    )


def test_every_column_out_has_a_feature():
    frame = mixed_table()
    encoder = TabularPreprocessor().fit(frame)
    columns = np.concatenate(encoder.columns_of_features())
    assert sorted(columns) == list(range(encoder.n_features_out_))
    names = encoder.get_feature_names_out()
    for feature, indices in zip(frame, encoder.columns_of_features(), strict=True):
        assert all(names[i].startswith(feature) for i in indices)
