"""The data report: what a cohort holds, what was left out and why, and what its recordings look like.

Tables in, `report.json` and a self-contained `report.html` out (docs/data-report.md).
"""

from peace.reports.data.index import write_index_report
from peace.reports.data.shards import write_shard_report

__all__ = ["write_index_report", "write_shard_report"]
