"""The reasons for which a recording is left out, each with its meaning."""

from __future__ import annotations

from peace.core.errors import PeaceError

# In the order in which they are looked for: a record that has several faults is counted under the first.
REASONS: dict[str, str] = {
    "missing_header": "the .hea file is not there, or is not a plain file (or the path is no WFDB record)",
    "bad_header": "the header departs from the WFDB grammar, or contradicts itself",
    "outside_root": "a signal file, or a link, leads out of the record's own folder and of links.stores",
    "zero_length": "the record holds no samples",
    "too_large": "more samples would have to be read than any recording of ours has",
    "unknown_units": "a lead is in units other than V, mV, uV or nV",
    "unsupported_format": "the samples are in a format that neither our reader nor wfdb knows",
    "missing_signal": "the signal file is not there, or is not a plain file",
    "truncated_signal": "the signal file is shorter than the header says",
    "unreadable_signal": "the signal file cannot be decoded",
    "duplicate_lead": "a lead occurs twice",
    "missing_lead": "a required lead is absent, or a chest lead holds zeros throughout",
    "rate_too_low": "the sampling rate is under quality.min_rate",
    "too_short": "the record is shorter than quality.min_seconds",
    "padding": "more of the recording is padding than quality.padding allows",
    "nan_samples": "a lead misses more samples than quality.missing allows",
    "flat_lead": "more leads than quality.flat allows carry no signal",
    "saturated": "a lead touches the rail for more of its samples than quality.saturated allows",
    "cut_off": "more samples of a lead rest on a rail of the converter than quality.cut_off allows",
    "spikes": "a lead has more single samples far off both neighbours than quality.spikes allows",
    "checksum_mismatch": "more leads than quality.checksum allows contradict the header's checksum",
    "uncalibrated": "more leads than quality.calibration allows have no gain in the header",
    "amplitude_implausible": "the leads are higher, or lower, than quality.amplitude allows",
    "einthoven_mismatch": "I + III departs from II by more than quality.einthoven allows",
    "goldberger_mismatch": "aVR, aVL or aVF departs from what I and II make it by more than quality.goldberger allows",
    "arms_exchanged": "lead I mirrors V5 and V6 by more than quality.reversal allows",
    "copied_leads": "more leads than quality.copied allows repeat another",
    "baseline_wander": "the baseline wanders more than quality.wander allows",
    "mains_noise": "the amplitude at the mains frequency is over what quality.mains allows",
    "clipped": "more values than quality.clipped allows lie beyond +-32.767 mV after filtering",
    "unexpected_error": "a fault of ours: please report it with the record",
}


class RecordRejected(PeaceError):
    """A recording that is left out. `reason` is a key of REASONS, `detail` says what was found where."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else self.reason
