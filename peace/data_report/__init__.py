"""The data report: what a cohort holds, what was left out and why, and what its recordings look like.

Tables in, `report.json` and a self-contained `report.html` out (docs/data-report.md).
"""

from peace.data_report.index import write_index_report
from peace.data_report.shards import write_shard_report

__all__ = ["write_index_report", "write_shard_report"]
