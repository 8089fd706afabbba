"""The split of patients that an earlier index has settled."""

from __future__ import annotations

from jobs.runtime.harness import Job
from peace.core.errors import DataError


def settled_patients(job: Job) -> dict[str, str]:
    """Patient -> split of the earlier manifest that --keep-splits names."""
    path = job.args.keep_splits
    if path is None:
        return {}
    from peace.data.cohorts.manifest import read_manifest
    from peace.data.splits import SPLITS, check_patients

    earlier = read_manifest(path).select(["patient_id", "split"]).to_pandas().dropna()
    check_patients(earlier)
    unknown = sorted(set(earlier["split"]) - set(SPLITS))
    if unknown:
        raise DataError(f"{path} has the split '{unknown[0]}', which is none of {', '.join(SPLITS)}")
    return dict(zip(earlier["patient_id"], earlier["split"], strict=True))
