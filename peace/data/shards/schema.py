"""The columns of a shard. Any Parquet reader takes them; the tensors are Arrow's canonical fixed-shape tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from peace.data.signal import LEADS
from peace.data.splits import SPLITS

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["FORMAT", "ROW_GROUP", "SPLITS", "schema", "tensor", "writer_options"]

FORMAT = 2
# 30 MB of signals at 500 Hz: what a reader holds at a time.
ROW_GROUP = 256


def tensor(values: Any, shape: tuple[int, ...]) -> pa.ExtensionType:
    """Canonical fixed-shape tensor type `arrow.fixed_shape_tensor`."""
    import pyarrow as pa

    return pa.fixed_shape_tensor(values, shape)


def schema(length: int) -> pa.Schema:
    """Schema of a shard whose signals have `length` samples."""
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
            ("signal", tensor(pa.int16(), (len(LEADS), length))),
            ("lead_mask", tensor(pa.uint8(), (len(LEADS),))),
            ("n_samples", pa.int32()),
            ("peak_to_peak_mv", tensor(pa.float32(), (len(LEADS),))),
            *((name, pa.float32()) for name in QUALITY),
            ("flags", pa.list_(pa.string())),
        ]
    )


def writer_options() -> dict[str, Any]:
    """How shards are compressed: differences between neighbouring samples, bit-packed, then zstd (37 % of int16)."""
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
        "column_encoding": {"signal.list.element": "DELTA_BINARY_PACKED"},
        "write_statistics": ["record_id", "patient_id", "split", "cohort", "age_days"],
    }
