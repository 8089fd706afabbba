"""Zip archives in parts, as PKWARE's APPNOTE describes them: offsets count from the part that a member begins in."""

import io
import struct
import zipfile
from pathlib import Path

DIRECTORY_ENTRY = 46
SPLIT = b"PK\x07\x08"  # the signature that opens the first part


def split_archive(members: dict[str, bytes], first: int, zip64: bool = False) -> tuple[bytes, bytes]:
    """(NAME.z01 of `first` bytes, NAME.zip)."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members.items():
            archive.writestr(name, body)
        directory = archive.start_dir
    data = bytearray(SPLIT + whole.getvalue())
    directory += len(SPLIT)
    end = data.rindex(b"PK\x05\x06")
    place = directory
    while place < end:
        lengths = struct.unpack_from("<HHH", data, place + 28)
        offset = struct.unpack_from("<I", data, place + 42)[0] + len(SPLIT)
        part = int(offset >= first)
        struct.pack_into("<H", data, place + 34, part)
        struct.pack_into("<I", data, place + 42, offset - first * part)
        place += DIRECTORY_ENTRY + sum(lengths)
    number, size = len(members), end - directory
    tail = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 1, 1, number, number, size, directory - first, 0)
    if zip64:
        record = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 1, 1, number, number, size, directory - first)
        tail = record + struct.pack("<4sIQI", b"PK\x06\x07", 1, end - first, 2) + tail
    data[end:] = tail
    return bytes(data[:first]), bytes(data[first:])


def folder_members(folder: Path) -> dict[str, bytes]:
    """The files of a folder, named from its parent."""
    return {
        str(path.relative_to(folder.parent)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }
