"""Paths that are no WFDB record: say what the file is, and how to bring it."""

from __future__ import annotations

import os
from pathlib import Path

from peace.data.signal.unreadable import RecordRejected

SUFFIXES = (".hea", ".dat", ".mat")
"""Endings of a record's own files: what stands before them is the record."""
READ = "records are read as WFDB: a .hea header beside its signal files (.dat, or .mat as wfdb2mat writes it)"
BY_HAND = "read it with {} and write it with wfdb.wrsamp (pip install wfdb)"
# What files of a kind end in, what the kind is called, and what brings them.
KINDS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (
        (".edf", ".bdf", ".rec"),
        "EDF or BDF",
        "convert it with edf2mit, or wfdb.io.convert.edf.read_edf and wfdb.wrsamp",
    ),
    ((".csv", ".tsv", ".txt"), "a table", "convert it with wfdb.io.convert.csv.csv_to_wfdb"),
    ((".wav",), "WAV", "convert it with wav2mit, or wfdb.io.convert.wav.read_wav and wfdb.wrsamp"),
    ((".mat",), "MATLAB", BY_HAND.format("scipy.io.loadmat (version 7.3: h5py)")),
    ((".dcm", ".dicom"), "DICOM", BY_HAND.format("pydicom (waveform_array)")),
    ((".xml", ".aecg"), "XML (HL7 aECG, MUSE, Philips)", BY_HAND.format("the vendor's export or an aECG reader")),
    ((".scp", ".ecg"), "SCP-ECG", BY_HAND.format("an SCP-ECG reader")),
    ((".h5", ".hdf5", ".npy", ".npz", ".parquet", ".pkl"), "an array file", BY_HAND.format("h5py, numpy or pandas")),
    ((".json", ".fhir"), "JSON (FHIR)", BY_HAND.format("json")),
    ((".pdf", ".png", ".jpg", ".jpeg", ".tif", ".tiff"), "a picture", "only the recorded samples will do"),
    ((".zip", ".gz", ".tar", ".tgz", ".bz2", ".xz", ".7z"), "an archive", "unpack it first"),
)
# First bytes tell where the name does not.
MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"0       ", ".edf"),
    (0, b"\xffBIOSEMI", ".bdf"),
    (128, b"DICM", ".dcm"),
    (0, b"<?xml", ".xml"),
    (0, b"MATLAB 5.0", ".mat"),
    (0, b"\x89HDF", ".h5"),
    (0, b"\x93NUMPY", ".npy"),
    (0, b"RIFF", ".wav"),
    (0, b"%PDF", ".pdf"),
    (0, b"PK\3\4", ".zip"),
    (0, b"\x1f\x8b", ".gz"),
    (0, b"{", ".json"),
)


def refuse_other_formats(record: Path) -> None:
    """Raise RecordRejected (missing_header) where a record without a header is a file or folder of another kind."""
    for path in (record, *(record.with_name(record.name + ending) for ending in (".mat",))):
        if path.is_dir():
            raise RecordRejected("missing_header", f"{path} is a folder, not a record: {READ}")
        if path.is_file():
            kind = _kind(path)
            told = f" ({kind[1]}): {kind[2]}" if kind else ": convert it to WFDB, for example with wfdb.wrsamp"
            raise RecordRejected("missing_header", f"{path} is no WFDB record{told}; {READ}")


def _kind(path: Path) -> tuple[tuple[str, ...], str, str] | None:
    """What a file is, by its first bytes, else by its name."""
    start = b""
    if os.access(path, os.R_OK):
        with path.open("rb") as file:
            start = file.read(256)
    endings = [ending for at, magic, ending in MAGIC if start[at : at + len(magic)] == magic]
    for ending in (*endings, path.suffix.lower()):
        for kind in KINDS:
            if ending in kind[0]:
                return kind
    return None
