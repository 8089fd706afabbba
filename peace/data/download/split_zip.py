"""Members of a zip archive in several parts (NAME.z01, NAME.z02, ..., NAME.zip), on disk or behind HTTP.

zipfile reads the central directory of such an archive once its parts look like one file, but takes each member's
offset from the start of the archive, where a split archive counts from the start of the part (PKWARE's APPNOTE
6.3.10, sections 4.4.11 and 4.4.16).
"""

from __future__ import annotations

import bisect
import io
import itertools
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from peace.core.errors import DataError

LARGEST_MEMBER = 256 * 2**20
LARGEST_TREE = 64 * 2**30
LOCAL_HEADER = 30  # bytes before a member's name
SLACK = 1024  # name and extra field of a local header are rarely longer
LOCATOR = struct.Struct("<4sIQI")  # signature, part of the zip64 directory, its offset, number of parts
BROKEN = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, ValueError, struct.error)

ReadPart = Callable[[int, int], bytes]


class Parts:
    """The parts of an archive as one run of bytes."""

    def __init__(self, sizes: Sequence[int], readers: Sequence[ReadPart]) -> None:
        self.starts = [0, *itertools.accumulate(sizes)]
        self.size = self.starts.pop()
        self._sizes = sizes
        self._readers = readers

    def read(self, start: int, stop: int) -> bytes:
        """Bytes [start, stop), across parts where need be; from any thread."""
        pieces = []
        while start < min(stop, self.size):
            number = bisect.bisect_right(self.starts, start) - 1
            begin = self.starts[number]
            end = min(stop - begin, self._sizes[number])
            pieces.append(self._readers[number](start - begin, end))
            start = begin + end
        return b"".join(pieces)


def reader_of(path: Path) -> ReadPart:
    """Reads parts of a file on disk."""

    def read(start: int, stop: int) -> bytes:
        with path.open("rb") as stream:
            stream.seek(start)
            return stream.read(stop - start)

    return read


def members(parts: Parts, name: str) -> list[zipfile.ZipInfo]:
    """The files of an archive, their header_offset counted from the start of the first part.

    Raises DataError for what is no zip archive, or one whose files are too large for recordings.
    """
    try:
        with zipfile.ZipFile(io.BufferedReader(_Joined(parts), 1 << 16)) as archive:
            found = [info for info in archive.infolist() if not info.is_dir()]
            directory: int = archive.start_dir
    except BROKEN as error:
        raise DataError(f"{name} is no archive that can be read: {error}") from None
    if any(info.file_size > LARGEST_MEMBER for info in found) or sum(i.file_size for i in found) > LARGEST_TREE:
        raise DataError(f"{name} announces files larger than any recording: it is not unpacked")
    shift = parts.starts[bisect.bisect_right(parts.starts, directory) - 1]
    if found and len(parts.starts) > 1:
        first = found[0]
        place = first.header_offset - shift + parts.starts[min(first.volume, len(parts.starts) - 1)]
        if parts.read(place, place + 4) == b"PK\x03\x04":  # else one archive that was cut: its offsets hold as they are
            for info in found:
                info.header_offset += parts.starts[min(info.volume, len(parts.starts) - 1)] - shift
    return found


def read_member(parts: Parts, info: zipfile.ZipInfo) -> bytes:
    """A member's content. Raises zipfile.BadZipFile where its CRC-32 or anything else of it is wrong."""
    begin = info.header_offset
    head = parts.read(begin, begin + LOCAL_HEADER + SLACK + info.compress_size)
    try:
        if head[:4] != b"PK\x03\x04":
            raise zipfile.BadZipFile("no local header where the directory says")
        n_name, n_extra = struct.unpack("<HH", head[26:30])
        start = LOCAL_HEADER + n_name + n_extra
        if len(head) < start + info.compress_size:
            head = parts.read(begin, begin + start + info.compress_size)
        packed: Any = io.BytesIO(head[start : start + info.compress_size])
        if info.flag_bits & 1:
            raise zipfile.BadZipFile("encrypted")
        content = zipfile.ZipExtFile(packed, "r", info).read()
    except BROKEN as error:
        raise zipfile.BadZipFile(f"{info.filename}: {error}") from None
    if len(content) != info.file_size:
        raise zipfile.BadZipFile(f"{info.filename}: {len(content)} bytes of {info.file_size}")
    return content


class _Joined(io.RawIOBase):
    """Parts as a file, in which nothing says that there are several: zipfile refuses them where zip64 counts them."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._place = 0
        tail = parts.read(max(0, parts.size - (1 << 16) - 64), parts.size)
        end = tail.rfind(b"PK\x05\x06") - LOCATOR.size
        self._locator = b""
        self._locator_at = parts.size - len(tail) + end
        if end >= 0 and tail[end : end + 4] == b"PK\x06\x07":
            signature, _, offset, _ = LOCATOR.unpack_from(tail, end)
            self._locator = LOCATOR.pack(signature, 0, offset, 1)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._parts.size}[whence]
        if base + offset < 0:
            raise OSError("before the start of the archive")
        self._place = base + offset
        return self._place

    def readinto(self, buffer: Any) -> int:
        content = bytearray(self._parts.read(self._place, self._place + len(buffer)))
        for index, value in enumerate(self._locator):
            place = self._locator_at + index - self._place
            if 0 <= place < len(content):
                content[place] = value
        buffer[: len(content)] = content
        self._place += len(content)
        return len(content)
