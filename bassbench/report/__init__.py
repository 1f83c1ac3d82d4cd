"""The report: results, examples to listen to and what stands behind them, as one page that needs nothing else."""

from bassbench.report.listen import Example
from bassbench.report.page import write_report
from bassbench.report.results import MetricNote

__all__ = ["Example", "MetricNote", "write_report"]
