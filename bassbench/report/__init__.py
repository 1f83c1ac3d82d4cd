"""The report: results, examples to listen to and what stands behind them, as one page that needs nothing else."""
