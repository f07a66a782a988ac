"""Training: epochs, schedules, stopping, history, L-BFGS. Plain Python, any backend."""
