"""One-hot encoding of levels: rare ones together, unknown and missing ones apart."""

import numpy as np

# Levels of a column that have a column of their own; the others share one.
_MAX_LEVELS = 256


class LevelEncoder:
    """The levels of one column to columns of zeros and ones.

    Two levels become one column. Of more, a level of a single training row is rare: one
    row would decide its weights.

    Attributes
    ----------
    names : list of str
        Of the columns.
    """

    def fit(self, codes, levels):
        """Learn the levels of a column.

        Parameters
        ----------
        codes : ndarray of shape (n_rows,), int64
            -1 where missing.
        levels : list
        """
        counts = np.bincount(codes[codes >= 0], minlength=len(levels))
        order = np.argsort(-counts, kind="stable")
        occurring = [i for i in order if counts[i] > 0]
        frequent = occurring
        if len(occurring) > 2:
            frequent = [i for i in occurring[:_MAX_LEVELS] if counts[i] > 1]
        self.table = {levels[code]: column for column, code in enumerate(frequent)}
        names = [str(levels[code]) for code in frequent]
        self.rare = len(names) if len(frequent) < len(occurring) else None
        if self.rare is not None:
            names.append("infrequent")
        self.missing = len(names) if np.any(codes < 0) else None
        if self.missing is not None:
            names.append("missing")
        # The second of two columns says what the first says.
        self.is_binary = len(names) == 2
        self.names = names[:1] if self.is_binary else names
        if len(names) == 1:
            self.names = []
        return self

    def transform(self, codes, levels):
        """Columns of shape (n_rows, len(names)), float32.

        A level that was not among the training rows counts as infrequent; where there
        are no infrequent ones, all columns of its row are zero, or one half of two.
        """
        unknown = -1 if self.rare is None else self.rare
        missing = unknown if self.missing is None else self.missing
        columns = [self.table.get(level, unknown) for level in levels]
        column = np.array([*columns, missing], dtype=np.int64)[codes]
        out = np.zeros((len(codes), len(self.names)), dtype=np.float32)
        if self.is_binary:
            out[:, 0] = np.where(column < 0, 0.5, column == 0)
        elif self.names:
            rows = np.flatnonzero(column >= 0)
            out[rows, column[rows]] = 1
        return out
