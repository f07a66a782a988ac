"""The warnings of one thread, to be given again where the user can see them.

`warnings.catch_warnings` replaces what is the whole process's, and must be left in the
reverse order. The ranks of a fit may be threads of one process: the first of them
replaces it for all, and the last one puts it back.
"""

import threading
import warnings
from contextlib import contextmanager

_LOCK = threading.Lock()
_records: dict[int, list] = {}
_catching = warnings.catch_warnings()


@contextmanager
def recorded_warnings():
    """A list that grows by pairs of message and category, of this thread only."""
    global _catching
    found: list[tuple[str, type[Warning]]] = []
    with _LOCK:
        if not _records:
            _catching = warnings.catch_warnings()
            _catching.__enter__()
            warnings.simplefilter("always")
            warnings.showwarning = _sorted_by_thread(warnings.showwarning)
        _records[threading.get_ident()] = found
    try:
        yield found
    finally:
        with _LOCK:
            del _records[threading.get_ident()]
            if not _records:
                _catching.__exit__(None, None, None)


def _sorted_by_thread(show):
    def record(message, category, *others, **keywords):
        found = _records.get(threading.get_ident())
        if found is None:
            show(message, category, *others, **keywords)
        else:
            found.append((str(message), category))

    return record
