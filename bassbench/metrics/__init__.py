"""The metrics, one idea a module: pure functions, and `METRICS` where a single clip gives a single number."""
