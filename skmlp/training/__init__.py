"""The training loops: epochs, schedules, early stopping, history, L-BFGS.

Plain Python over any backend's session, but for `shuffling`, which is compiled.
"""
