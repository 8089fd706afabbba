"""The columns of a shard. Any Parquet reader takes them; masks and heights are Arrow's fixed-shape tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from peace.data.signal import LEADS
from peace.data.splits import SPLITS

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["FORMAT", "ROW_GROUP", "SPLITS", "schema", "tensor", "writer_options"]

FORMAT = 3
# 30 MB of signals at 500 Hz: what a reader holds at a time.
ROW_GROUP = 256


def tensor(values: Any, shape: tuple[int, ...]) -> pa.ExtensionType:
    """Canonical fixed-shape tensor type `arrow.fixed_shape_tensor`."""
    import pyarrow as pa

    return pa.fixed_shape_tensor(values, shape)


def schema() -> pa.Schema:
    """Schema of a shard. `signal` is as peace/data/shards/codec.py has it."""
    import pyarrow as pa

    from peace.data.signal import QUALITY

    return pa.schema(
        [
            ("record_id", pa.string()),
            ("patient_id", pa.string()),
            ("cohort", pa.string()),
            ("split", pa.string()),
            ("age_days", pa.int64()),
            ("sex", pa.string()),
            ("labels", pa.list_(pa.string())),
            ("doubtful", pa.list_(pa.string())),
            ("signal", pa.binary()),
            ("lead_mask", tensor(pa.uint8(), (len(LEADS),))),
            ("n_samples", pa.int32()),
            ("peak_to_peak_mv", tensor(pa.float32(), (len(LEADS),))),
            *((name, pa.float32()) for name in QUALITY),
            ("flags", pa.list_(pa.string())),
        ]
    )


def writer_options() -> dict[str, Any]:
    """How shards are compressed: the differences of `signal` by zstd, to 30 % of int16."""
    return {
        "compression": "zstd",
        "compression_level": 1,
        "use_dictionary": [
            "patient_id",
            "cohort",
            "split",
            "sex",
            "labels.list.element",
            "doubtful.list.element",
            "flags.list.element",
        ],
        "write_statistics": ["record_id", "patient_id", "split", "cohort", "age_days"],
    }
