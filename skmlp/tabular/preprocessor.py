"""The transformer from a user's table to the inputs of a network."""

from typing import Any, Self

import numpy as np
from scipy import sparse
from sklearn.base import TransformerMixin, _fit_context
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import (
    _check_feature_names,
    _check_n_features,
    check_is_fitted,
)

from skmlp._project import DocumentedOnline
from skmlp.tabular.categories import LevelEncoder
from skmlp.tabular.columns import CATEGORY, SPARSE, is_frame, names_of
from skmlp.tabular.numbers import RobustScaler, missing_indicators
from skmlp.tabular.saved_state import PlainState, with_attributes
from skmlp.tabular.table import (
    Schema,
    as_table,
    has_indicator,
    number_names,
    read_blocks,
    read_schema,
    sources,
)


class TabularPreprocessor(DocumentedOnline, TransformerMixin, PlainState):
    """Encode a table of numbers, categories and dates for a multi-layer perceptron.

    A pandas or polars DataFrame, a pyarrow Table, an array or a sparse matrix becomes a
    float32 matrix without missing values. Numbers are centered by the median, divided
    by the interquartile range and clipped smoothly; a column with missing values gets
    an indicator. Categories, strings among them, become a column per level; missing
    values are a level, and rare levels share one. Dates become year, month, day, day of
    the week, hour and elapsed days. Booleans are numbers, durations are seconds.
    Columns that are constant are dropped. Sparse columns are divided by their largest
    magnitude, and stay sparse.

    Parameters
    ----------
    categorical_features : 'from_dtype', None or array-like, default='from_dtype'
        Columns to treat as categories beside those that hold strings, levels or mixed
        objects: names, indices or a boolean mask. 'from_dtype' and None add none.

    Attributes
    ----------
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Only if X has column names that are all strings.
    n_features_out_ : int

    References
    ----------
    .. [1] D. Holzmüller, L. Grinsztajn and I. Steinwart, "Better by default: strong
       pre-tuned MLPs and boosted trees on tabular data", NeurIPS 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from skmlp import TabularPreprocessor
    >>> X = np.array([[1.0, "red"], [3.0, "blue"], [np.nan, "red"]], dtype=object)
    >>> encoder = TabularPreprocessor().fit(X)
    >>> encoder.get_feature_names_out()
    array(['x0', 'x0_missing', 'x1_red'], dtype=object)
    >>> encoder.transform(X).shape
    (3, 3)
    """

    _plain = {
        "_schema": (tuple, lambda values: Schema(*values)),
        "_scaler": (lambda scaler: dict(vars(scaler)), with_attributes(RobustScaler)),
        "_level_encoders": (
            lambda encoders: [dict(vars(each)) for each in encoders],
            lambda states: [with_attributes(LevelEncoder)(each) for each in states],
        ),
    }
    _parameter_constraints: dict = {
        "categorical_features": ["array-like", StrOptions({"from_dtype"}), None],
    }

    def __init__(self, categorical_features="from_dtype"):
        self.categorical_features = categorical_features

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn medians, ranges, bins and levels.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            A DataFrame of pandas or polars, a pyarrow Table, an array or a sparse
            matrix.
        y : ignored
            For pipelines.

        Returns
        -------
        self : object
            The fitted preprocessor.

        Raises
        ------
        ValueError
            If X is empty, has two columns of one name, or `categorical_features` names
            a column that X lacks.
        """
        self._fit_blocks(X)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """`fit` and `transform` at once, reading X once.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            A DataFrame of pandas or polars, a pyarrow Table, an array or a sparse
            matrix.
        y : ignored
            For pipelines.

        Returns
        -------
        {ndarray, csr_matrix} of shape (n_samples, `n_features_out_`), float32
            Sparse if X has sparse columns.
        """
        return self._encode(self._fit_blocks(X))

    @_fit_context(prefer_skip_nested_validation=True)
    def _fit_blocks(self, X):
        X = as_table(X, self)
        _check_feature_names(self, X, reset=True)
        _check_n_features(self, X, reset=True)
        schema = read_schema(X, self.categorical_features)
        blocks = read_blocks(X, schema)
        self._learn(schema, blocks)
        return blocks

    def _learn(self, schema, blocks):
        self._schema = schema
        is_missing = np.isnan(blocks.numbers).any(axis=0)
        self._with_missing = np.flatnonzero(is_missing & has_indicator(schema))
        self._level_encoders = [LevelEncoder().fit(*pair) for pair in blocks.levels]
        scaler = RobustScaler().fit(self._unscaled(blocks))
        self._kept = np.flatnonzero(scaler.scale > 0)
        scaler.center, scaler.scale = (
            scaler.center[self._kept],
            scaler.scale[self._kept],
        )
        self._scaler = scaler
        self._sparse_scale: Any = None
        if blocks.sparse is not None:
            largest = abs(blocks.sparse).max(axis=0).toarray().ravel()
            self._sparse_scale = np.where(largest > 0, largest, 1.0)
        self.n_features_out_ = len(self._columns_out())

    def _unscaled(self, blocks):
        """Numbers, indicators of missing ones, and levels, side by side."""
        parts = [blocks.numbers, missing_indicators(blocks.numbers, self._with_missing)]
        for encoder, pair in zip(self._level_encoders, blocks.levels, strict=True):
            parts.append(encoder.transform(*pair))
        return np.concatenate(parts, axis=1)

    def transform(self, X: Any) -> Any:
        """Encode a table with the columns of the one that was fitted.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            A DataFrame of pandas or polars, a pyarrow Table, an array or a sparse
            matrix.

        Returns
        -------
        {ndarray, csr_matrix} of shape (n_samples, `n_features_out_`), float32
            Sparse if X has sparse columns.

        Raises
        ------
        ValueError
            If columns are missing or new, or do not hold what they held.
        """
        check_is_fitted(self)
        X = as_table(X, self)
        # scikit-learn's checks take longer than the rest for a row.
        known = getattr(self, "feature_names_in_", None)
        if known is None or not is_frame(X) or names_of(X) != known.tolist():
            _check_feature_names(self, X, reset=False)
            _check_n_features(self, X, reset=False)
        return self._encode(read_blocks(X, self._schema))

    def _encode(self, blocks):
        parts = [self._scaler.transform(self._unscaled(blocks)[:, self._kept])]
        sparse_part = blocks.sparse
        if sparse_part is not None:
            scaled = sparse_part @ sparse.diags(1.0 / self._sparse_scale)
            parts.append(scaled.astype(np.float32))
        if sparse_part is None:
            return parts[0]
        return sparse.csr_matrix(sparse.hstack(parts, format="csr", dtype=np.float32))

    def _columns_out(self):
        """Name and index of the feature for each column of `transform`."""
        schema = self._schema
        numbers = list(zip(number_names(schema), sources(schema), strict=True))
        features = [numbers[i][1] for i in self._with_missing]
        columns = numbers + [(f"{self._schema.names[i]}_missing", i) for i in features]
        categories = self._schema.indices(CATEGORY)
        for i, encoder in zip(categories, self._level_encoders, strict=True):
            name = self._schema.names[i]
            columns += [(f"{name}_{level}", i) for level in encoder.names]
        kept = [columns[i] for i in self._kept]
        return kept + [(self._schema.names[i], i) for i in self._schema.indices(SPARSE)]

    def columns_of_features(self) -> list[np.ndarray]:
        """Indices of the columns of `transform` that stand for each feature of X.

        Returns
        -------
        list of ndarray
            Empty for a feature that was constant.
        """
        check_is_fitted(self)
        features = np.array([source for _, source in self._columns_out()], dtype=int)
        return [np.flatnonzero(features == i) for i in range(self.n_features_in_)]

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns of `transform`.

        Parameters
        ----------
        input_features : ignored
            The names of the columns are those of `fit`.

        Returns
        -------
        ndarray of str
            Also of levels and of indicators of missing values.
        """
        check_is_fitted(self)
        return np.array([name for name, _ in self._columns_out()], dtype=object)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "n_features_out_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []
        return tags
