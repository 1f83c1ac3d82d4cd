"""The song bank: composed arrangements with known truth, rendered as clips."""
