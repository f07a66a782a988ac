"""What ``verbose`` prints: scikit-learn's lines, or one line with all there is to say.

`reporter_of` chooses. A reporter is told of every epoch, and of sentences about the
training; it decides what becomes of them.
"""

import time

# Seconds between two lines of `OneLine`, if epochs are shorter.
_PAUSE = 1.0


class ScikitLearnLines:
    """The lines of scikit-learn: each epoch's loss, and its validation score."""

    def epoch(self, record):
        """Print the lines of an `EpochRecord`."""
        history = record.history
        print(f"Iteration {history.n_epochs}, loss = {history.loss_curve[-1]:.8f}")
        if history.validation is not None:
            print(f"Validation score: {history.validation.scores[-1]:f}")

    def say(self, sentence):
        """Print a sentence about the training."""
        print(sentence)

    def finish(self):
        """The training has ended."""


class OneLine:
    """A line an epoch, or a second where epochs are shorter; the last one in any case.

    Parameters
    ----------
    clock : skmlp.training.stopping.Clock
        Of the training.
    """

    def __init__(self, clock):
        self._clock = clock
        # Of the last line that was printed: the training's seconds, and the rows since.
        self._seconds = self._start = clock.seconds
        self._rows = self._n_epochs = 0
        self._printed_at = -float("inf")
        self._pending = None

    def epoch(self, record):
        """Print the line of an `EpochRecord` if it is time, or keep it."""
        self._n_epochs += 1
        self._rows += record.n_rows or 0
        self._pending = record
        if time.perf_counter() - self._printed_at >= _PAUSE:
            self._print(record)

    def say(self, sentence):
        """Print a sentence behind the line of the epoch that it is about."""
        self.finish()
        print(sentence)

    def finish(self):
        """Print the line that was kept."""
        if self._pending is not None:
            self._print(self._pending)

    def _print(self, record):
        self._pending = None
        print(", ".join(self._parts(record)), flush=True)
        self._seconds, self._rows = record.history.seconds[-1], 0
        self._printed_at = time.perf_counter()

    def _parts(self, record):
        history, of_all = record.history, ""
        name = "Iteration" if record.n_rows is None else "Epoch"
        if record.max_epochs is not None:
            of_all = f"/{record.max_epochs}"
        yield f"{name} {record.epoch}{of_all}"
        yield f"loss = {history.loss_curve[-1]:.6g}"
        if history.validation is not None:
            yield f"validation loss = {history.validation.losses[-1]:.6g}"
            yield f"validation score = {history.validation.scores[-1]:.6g}"
        if history.gradient_norms:
            yield f"gradient norm = {history.gradient_norms[-1]:.3g}"
        if history.learning_rates:
            yield f"learning rate = {history.learning_rates[-1]:.3g}"
        seconds = history.seconds[-1] - self._seconds
        if self._rows and seconds > 0:
            yield f"{self._rows / seconds:,.0f} rows/s"
        if record.max_epochs is not None:
            yield f"at most {_in_words(self._seconds_left(record))} left"

    def _seconds_left(self, record):
        """Until the last epoch at the pace so far, or until the time limit."""
        pace = (record.history.seconds[-1] - self._start) / self._n_epochs
        return max(
            0.0, min((record.max_epochs - record.epoch) * pace, self._clock.left)
        )


def _in_words(seconds):
    """Seconds, or from a minute on minutes, or hours."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def reporter_of(verbose, clock):
    """The reporter of a value of ``verbose``; None where nothing is printed.

    Parameters
    ----------
    verbose : bool or int
        2 for one line; scikit-learn's for all else that is true, as there.
    clock : skmlp.training.stopping.Clock
    """
    if not verbose:
        return None
    return OneLine(clock) if verbose == 2 else ScikitLearnLines()
