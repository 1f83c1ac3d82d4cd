"""bassbench: evaluation and benchmarking of music accompaniment systems."""
