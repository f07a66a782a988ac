"""Threads of the CPU backend.

- `pool`: worker threads, barrier and work stealing
- `autotune`: chooses the number of workers from timings, during the fit
- `affinity`: moves a worker off a core that it shares with another one
- `load`: how many cores nobody else uses
"""
