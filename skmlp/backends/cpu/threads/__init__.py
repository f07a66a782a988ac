"""Threads of the CPU backend.

- `pool`: worker threads, barrier and work stealing
- `autotune`: how many workers a fit uses, measured while it runs
- `affinity`: moves a worker off a core that it shares with another one
"""
