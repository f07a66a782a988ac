"""The network after the last epoch, in a file that is whole at every moment."""

import os
from pathlib import Path

import joblib

_NAME = "checkpoint.joblib"


def write_checkpoint(directory, estimator):
    """Replace the checkpoint of a directory, which is made if there is none.

    Parameters
    ----------
    directory : str or path-like
    estimator : estimator
        Fitted.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    # One name, so that a process that was killed leaves at most one such file.
    unfinished = folder / f".{_NAME}.unfinished"
    with open(unfinished, "wb") as file:
        joblib.dump(estimator, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, folder / _NAME)


def read_checkpoint(directory):
    """The estimator of a directory's checkpoint."""
    return joblib.load(Path(directory) / _NAME)
