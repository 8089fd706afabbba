"""The WFDB records that a command line means: files, folders, patterns and lists of them."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from pathlib import Path

from peace.core.errors import DataError

HEADER = ".hea"


def record_paths(given: Sequence[Path], lists: Sequence[Path]) -> list[Path]:
    """The records meant, each once, in the order given; those of a folder are all below it, by name.

    A list holds one of the same on each line, seen from its own folder; `#` begins a remark. What matches nothing
    stays as it is, to be refused by name. Raises DataError for a list that cannot be read.
    """
    words = [*given, *(line for file in lists for line in _lines(file))]
    found = {path.with_name(path.name.removesuffix(HEADER)): path for word in words for path in _expanded(word)}
    return list(found.values())


def _lines(file: Path) -> Iterator[Path]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise DataError(f"cannot read the list {file}: {reason}") from None
    for line in text.splitlines():
        name = line.partition("#")[0].strip()
        if name:
            yield file.parent / name


def _expanded(word: Path) -> Iterator[Path]:
    if word.is_dir():
        yield from sorted(word.rglob(f"*{HEADER}")) or [word]
    elif glob.has_magic(str(word)) and not word.exists():
        # a pattern such as a* meets a record's header and its samples
        met = [Path(name) for name in sorted(glob.glob(str(word), recursive=True))]
        inside = [path for item in met if item.is_dir() for path in sorted(item.rglob(f"*{HEADER}"))]
        yield from [item for item in met if item.suffix == HEADER] + inside or [word]
    else:
        yield word
