"""Parts of a benchmark on a GPU, each in a process of its own.

An illegal address or a capture that fails leaves a process without a GPU for good, and
nothing but the end of its process ends a kernel that hangs. So a part has a process,
tells what it has found as soon as it has, and is ended when it tells nothing for long;
what it has told by then is kept.

A part is a generator function. Each finding that it yields takes the place of the last.
"""

import contextlib
import io
import multiprocessing
import traceback
from multiprocessing import connection
from typing import Any, NamedTuple

# For what a process does after its last word; a broken GPU may keep it from ending.
_LEAVE_SECONDS = 5.0


class Outcome(NamedTuple):
    """What has become of a part.

    Attributes
    ----------
    found : object
        The last that it has yielded, None if it has not.
    trouble : str or None
        Why it did not come to its end.
    """

    found: Any
    trouble: str | None


class _Told(io.TextIOBase):
    """Text that is printed by the process at the other end of a pipe."""

    def __init__(self, pipe):
        self._pipe = pipe

    def write(self, text):
        self._pipe.send(("printed", text))
        return len(text)


def _work(pipe, part, arguments):
    """Run a part in its process, and tell what it finds."""
    with contextlib.redirect_stdout(_Told(pipe)):
        try:
            for found in part(*arguments):
                pipe.send(("found", found))
            pipe.send(("over", None))
        except Exception as error:
            traceback.print_exc()
            pipe.send(("over", f"{error!r:.500}"))


def _heard(pipe, process, patience):
    """Listen to a part until it ends, or for too long."""
    found = None
    while True:
        # Its end is looked for beside the pipe's, which its own children may hold open.
        if not connection.wait([pipe, process.sentinel], patience):
            return Outcome(found, f"nothing was heard of it for {patience:g} s")
        try:
            kind, content = pipe.recv() if pipe.poll() else ("dead", None)
        except EOFError:
            kind = "dead"
        if kind == "dead":
            process.join(_LEAVE_SECONDS)
            code = process.exitcode
            return Outcome(found, f"its process ended with exit code {code}")
        if kind == "over":
            process.join(_LEAVE_SECONDS)
            return Outcome(found, content)
        if kind == "found":
            found = content
        else:
            print(content, end="", flush=True)


def run(part, arguments, patience):
    """Run a part in a new process; what it prints is printed here.

    Parameters
    ----------
    part : generator function
        Of a module, as a new process imports it.
    arguments : tuple
    patience : float
        Seconds without a word of it after which it is ended.

    Returns
    -------
    Outcome
    """
    # A process that is forked could not use CUDA if this one has.
    context = multiprocessing.get_context("spawn")
    pipe, other_end = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(other_end, part, arguments))
    process.start()
    other_end.close()
    try:
        return _heard(pipe, process, patience)
    finally:
        process.kill()
        process.join(_LEAVE_SECONDS)
        pipe.close()
