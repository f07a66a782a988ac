"""A `Collective` whose ranks are threads of this process."""

import copy
import threading


class ThreadCollective:
    """One rank of a group of threads; `group` makes all of them."""

    def __init__(self, rank, barrier, board):
        self.rank = rank
        self.n_ranks = barrier.parties
        self._barrier = barrier
        self._board = board

    def _exchange(self, tag, value):
        self._board[self.rank] = tag, copy.deepcopy(value)
        self._barrier.wait(timeout=60)
        tags, values = zip(*self._board, strict=True)
        self._barrier.wait(timeout=60)
        if len(set(tags)) > 1:
            raise RuntimeError(f"the ranks are at {tags}")
        return values

    def all_reduce(self, tag, vector):
        first, *others = self._exchange(tag, vector)
        total = first.copy()
        for other in others:
            total += other
        return total

    def broadcast(self, tag, value):
        return copy.deepcopy(self._exchange(tag, value)[0])

    def gather(self, tag, value):
        values = self._exchange(tag, value)
        return list(values) if self.rank == 0 else None


def run_ranks(program, n_ranks):
    """What ``program(collective)`` returns in each of some ranks.

    The first error of a rank is raised; the other ranks are then let go.
    """
    barrier = threading.Barrier(n_ranks)
    board = [None] * n_ranks
    results, errors = [None] * n_ranks, []

    def run(rank):
        try:
            results[rank] = program(ThreadCollective(rank, barrier, board))
        except threading.BrokenBarrierError:
            pass
        except BaseException as error:
            errors.append(error)
            barrier.abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(n_ranks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results
