"""Load descriptors for a training: in the order of its labels, and refused where a check calls a text an error."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from peace.core.errors import DataError, nearest
from peace.descriptors.checks import refuse_errors
from peace.descriptors.texts import Descriptors, DescriptorsFile, arrange, find_descriptors, read_descriptors


def load_descriptors(
    source: str | Path, labels: Sequence[str] | None = None, allow_findings: Sequence[str] | None = None
) -> Descriptors:
    """The descriptors of an embedded set, a file, or a `peace describe` directory, in the order of `labels`.

    Without `labels`: all that the file holds. With `allow_findings` texts that a check calls an error are refused, but
    for those checks that it names as LABEL/check. Raises DataError naming the file and what is wrong or missing.
    """
    path = find_descriptors(source)
    held = read_descriptors(path)
    wanted = tuple(held.labels if labels is None else labels)
    for label in wanted:
        if label not in held.labels:
            raise DataError(f"{path} has no descriptors of label '{label}'{_why(held, label)}")
    found = arrange(held, wanted)
    if allow_findings is not None:
        refuse_errors(found, path, allow_findings)
    return found


def _why(held: DescriptorsFile, label: str) -> str:
    failed = held.provenance.get("failed", {})
    if label in failed:
        return f": its generation failed ({failed[label]}); run the same `peace describe` again"
    return nearest(label, held.labels)
