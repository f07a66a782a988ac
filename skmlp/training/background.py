"""A thread that prepares what comes next while another one trains."""

import contextvars
import queue
import threading
from functools import partial


class Background:
    """Runs one task at a time in a thread of its own.

    The thread is a daemon: a task that never ends does not keep the process alive. It
    begins with a copy of the caller's context variables.
    """

    def __init__(self):
        self._tasks: queue.SimpleQueue = queue.SimpleQueue()
        self._results: queue.SimpleQueue = queue.SimpleQueue()
        self._thread = threading.Thread(
            target=contextvars.copy_context().run,
            args=(_work, self._tasks, self._results),
            name="skmlp chunks",
            daemon=True,
        )
        self._thread.start()

    def begin(self, task, *arguments):
        """Begin a task; its `result` must be taken before the next one begins."""
        self._tasks.put(partial(task, *arguments))

    def result(self):
        """Wait for the task; returns what it returns, and raises what it raises."""
        value, error = self._results.get()
        if error is not None:
            raise error
        return value

    def close(self):
        """End the thread once the task that runs has ended."""
        self._tasks.put(None)
        self._thread.join()


def _work(tasks, results):
    while (task := tasks.get()) is not None:
        try:
            results.put((task(), None))
        except BaseException as error:  # for `result` to raise
            results.put((None, error))
