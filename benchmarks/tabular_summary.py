"""The summary of `tabular.py`: tables of errors, ranks and ratios in Markdown.

Seeds of a set are averaged first, so that each set counts once.
"""

import json

import numpy as np
import pandas as pd
from tabular_sets import HALVES

# Added to errors before their ratio is taken: 0.0001 beside 0.0002 is no factor of two.
_SHIFT = 0.01
_DECIMALS = 7
_KINDS = ("binary", "multiclass", "regression")
_CLASSIFICATION = ("binary", "multiclass")
# Metric, its title, the kinds of sets that have it.
_METRICS = (
    ("error", "Error (1 - accuracy; RMSE / standard deviation)", _KINDS),
    ("auc_loss", "1 - AUC on binary sets", ("binary",)),
    ("log_loss", "Log-loss on classification sets", _CLASSIFICATION),
)
_SECONDS = {
    "fit_cpu": "fit, CPU s",
    "fit_wall": "fit, s",
    "predict_cpu": "predict, CPU s",
    "predict_wall": "predict, s",
}
_CELL = ["set", "seed"]


def read(path):
    """The records of a file of JSON lines; none if there is no file.

    Parameters
    ----------
    path : Path

    Returns
    -------
    list of dict
    """
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def markdown(header, rows):
    """A Markdown table.

    Parameters
    ----------
    header : list of str
    rows : list of list of str

    Returns
    -------
    str
    """
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def shifted_ratio(values, reference):
    """Shifted geometric mean of the ratios to one method, for every method.

    Parameters
    ----------
    values : DataFrame
        Sets by methods.
    reference : str

    Returns
    -------
    Series
    """
    logarithms = np.log(values + _SHIFT)
    return np.exp(logarithms.sub(logarithms[reference], axis=0).mean())


def normalized_score(values):
    """Mean over the sets of 1 for the best method and 0 for the worst one."""
    worst = values.max(axis=1)
    spread = (worst - values.min(axis=1)).replace(0, 1)
    best = values.eq(values.min(axis=1), axis=0)
    scores = (-values.sub(worst, axis=0)).div(spread, axis=0).clip(0, 1)
    return scores.mask(best, 1.0).mean()


class Summary:
    """Tables made of the records of some methods.

    Parameters
    ----------
    records : list of dict
    methods : list of str
        Those to show, if there are records of them.
    sets : list of str or None
        Those to show; None shows all.
    reference : str
        Method that errors are divided by.
    """

    def __init__(self, records, methods, sets, reference):
        columns = [*_CELL, "rows", "available", "kind", "half", "method", "version"]
        columns += ["quiet", "failure", *_SECONDS, *(name for name, _, _ in _METRICS)]
        data = pd.DataFrame(records).reindex(columns=columns)
        data = data[data["method"].isin(methods)]
        if sets is not None:
            data = data[data["set"].isin(sets)]
        # Versions are not mixed: of each method, the one that was added last counts.
        last = data.groupby("method")["version"].transform("last")
        self._data = data[data["version"] == last]
        self._methods = [m for m in methods if m in set(self._data["method"])]
        self._reference = reference
        self._sets = self._data.drop_duplicates("set").set_index("set").sort_index()

    def text(self, limits):
        """The whole summary.

        Parameters
        ----------
        limits : list of int
            Limits of training rows; each has its tables.

        Returns
        -------
        str
        """
        if self._data.empty:
            return "no results"
        versions = self._data.groupby("method")["version"].last()
        parts = ["Versions: " + ", ".join(sorted(set(versions)))]
        for limit in limits:
            at_limit = self._data["rows"] == self._data["available"].clip(upper=limit)
            data = self._data[at_limit]
            parts.append(f"## At most {limit:,} training rows")
            parts.append("no results" if data.empty else self._of_limit(data))
        return "\n\n".join(parts)

    def _of_limit(self, data):
        parts = [self._error_table(data), *self._failures(data)]
        complete = self._complete(data)
        n_sets = complete["set"].nunique()
        n_cells = len(complete) // len(self._methods)
        parts.append(
            f"Means over the {n_cells} pairs of set and seed that all "
            f"{len(self._methods)} methods have ({n_sets} sets)."
        )
        if self._reference in self._methods:
            parts[-1] += (
                f" Ratios are shifted geometric means: of (error + {_SHIFT}) over that "
                f"of {self._reference}."
            )
        if n_cells:
            for metric, title, kinds in _METRICS:
                parts += self._metric_table(complete, metric, title, kinds)
            parts.append(self._seconds_table(complete))
        parts += self._against_sklearn(data)
        return "\n\n".join(parts)

    def _by_set(self, data, metric):
        """Means over the seeds, sets by methods."""
        means = data.groupby(["set", "method"])[metric].mean().unstack()
        return means.reindex(columns=self._methods)

    def _complete(self, data):
        """The records of cells in which every method has an error."""
        scored = data[data["error"].notna()]
        counts = scored.groupby(_CELL)["method"].transform("nunique")
        return scored[counts == len(self._methods)]

    def _error_table(self, data):
        errors = self._by_set(data, "error")
        rows = []
        for name, values in errors.iterrows():
            best = values.min()
            cells = [_error_cell(value, best) for value in values]
            about = self._sets.loc[name]
            rows.append([name, about["kind"], about["half"], *cells])
        return markdown(["set", "kind", "half", *self._methods], rows)

    def _failures(self, data):
        failed = data[data["failure"].notna()]
        for (method, text), fits in failed.groupby(["method", "failure"]):
            names = ", ".join(sorted(set(fits["set"])))
            yield f"{method} FAILED {len(fits)} times ({names}): {text}"

    def _metric_table(self, complete, metric, title, kinds):
        """Ranks, scores and ratios of one metric, on all sets and on some."""
        # Rounded, since figures that differ by rounding are a tie.
        values = self._by_set(complete, metric).dropna().round(_DECIMALS)
        values = values[self._sets.loc[values.index, "kind"].isin(kinds).to_numpy()]
        if values.empty:
            return
        about = self._sets.loc[values.index]
        groups = {"all": values}
        groups |= {half: values[about["half"] == half] for half in HALVES}
        rows = []
        for group, part in groups.items():
            rows += self._means(group, part)
        if self._reference in self._methods and len(kinds) > 1:
            for kind in kinds:
                rows += self._ratios(kind, values[about["kind"] == kind])
        yield f"### {title}"
        yield markdown(["", "sets", "sets of", *self._methods], rows)

    def _means(self, group, values):
        if values.empty:
            return []
        wins = values.eq(values.min(axis=1), axis=0).sum()
        about = [str(len(values)), group]
        return [
            ["average rank", *about, *_cells(values.rank(axis=1).mean(), ".2f")],
            ["normalized score", *about, *_cells(normalized_score(values), ".3f")],
            ["wins", *about, *_cells(wins, "d")],
            *self._ratios(group, values),
        ]

    def _ratios(self, group, values):
        if values.empty or self._reference not in self._methods:
            return []
        ratios = shifted_ratio(values, self._reference)
        about = [f"ratio to {self._reference}", str(len(values)), group]
        return [[*about, *_cells(ratios, ".3f")]]

    def _seconds_table(self, complete):
        rows = [
            [label, *_cells(self._by_set(complete, column).mean(), ".3f")]
            for column, label in _SECONDS.items()
        ]
        n_quiet = int(complete["quiet"].eq(True).sum())
        return (
            f"### Mean seconds over {complete['set'].nunique()} sets\n\n"
            f"{n_quiet} of {len(complete)} fits were begun on a quiet machine.\n\n"
            f"{markdown(['', *self._methods], rows)}"
        )

    def _against_sklearn(self, data):
        """On how many sets 'fast' is better than scikit-learn's network."""
        pair = ["fast", "sklearn_mlp"]
        if not set(pair) <= set(self._methods):
            return
        scored = data[data["error"].notna() & data["method"].isin(pair)]
        both = scored[scored.groupby(_CELL)["method"].transform("nunique") == 2]
        errors = self._by_set(both, "error")
        better = int((errors["fast"] < errors["sklearn_mlp"]).sum())
        yield f"fast has less error than sklearn_mlp on {better} of {len(errors)} sets."


def _error_cell(value, best):
    if np.isnan(value):
        return "-"
    return f"**{value:.4f}**" if value == best else f"{value:.4f}"


def _cells(values, style):
    return [format(value, style) for value in values]
