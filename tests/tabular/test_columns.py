"""How the columns of a user's table are read."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from skmlp.tabular.columns import PandasColumn

MIXED = ["a", None, np.nan, pd.NA, pd.NaT, 1, True, 1.0, "1", Decimal("NaN"), "a"]
TEXTS = ["a", None, "b", "a"]


def levels_of(values, dtype):
    """The level of each row, None where missing."""
    codes, levels = PandasColumn(pd.Series(values, dtype=dtype)).levels()
    return [levels[code] if code >= 0 else None for code in codes]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [(MIXED, object), (TEXTS, "string"), (TEXTS, "str"), (TEXTS, "category")],
)
def test_few_rows_are_read_like_many(values, dtype):
    """Levels of few rows are found without pandas: by the same equality, or missing."""
    many = levels_of(values * 30, dtype)[: len(values)]
    assert levels_of(values, dtype) == many
