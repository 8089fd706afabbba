"""Labels of single recordings, from the ECG alone: the same path from bytes to tensor as in training.

predictor = Predictor.load(Path("runs/zzu-full"))
found = predictor.predict_file(Path("P00001_E01.hea"))
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from peace.checkpoint import CheckpointMeta, find_checkpoint, load_classifier
from peace.config import LeadsConfig, QualityConfig, SignalConfig
from peace.core.errors import DataError, PeaceError, nearest
from peace.data.labels import load_label_set
from peace.data.signal import LEADS, Conditioned, RecordRejected, condition_file, flag_texts
from peace.data.signal.units import to_mv

if TYPE_CHECKING:
    from peace.models import EcgClassifier

DEFAULT_COHORT = "zzu"
BATCH = 64


@dataclass(frozen=True)
class Prediction:
    """What a model says of one recording. `thresholds` and `positive` are None where the model has no thresholds."""

    record: str
    probabilities: dict[str, float]
    thresholds: dict[str, float] | None
    positive: list[str] | None
    leads_present: list[str]
    leads_missing: list[str]
    seconds: float
    warnings: list[str]


@dataclass(frozen=True)
class RejectedRecord:
    """A recording that could not be read: `reason` is a key of peace.data.signal.REASONS."""

    record: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Predictor:
    """A classifier with all that is needed to feed it."""

    classifier: EcgClassifier
    meta: CheckpointMeta
    signal: SignalConfig
    leads: LeadsConfig
    quality: QualityConfig

    @classmethod
    def load(cls, place: Path) -> Predictor:
        """From a checkpoint folder or a run directory. Raises DataError where it is not a valid checkpoint."""
        classifier, meta = load_classifier(place)
        try:
            signal = SignalConfig.model_validate(meta.recipe["signal"])
            leads = LeadsConfig.model_validate(meta.recipe["leads"])
            quality = QualityConfig.model_validate(meta.recipe["quality"])
        except (KeyError, ValidationError) as error:
            where = f"{find_checkpoint(place)}/checkpoint.json"
            why = f"of release {meta.code_version or 'unknown'}, which this one does not read"
            raise DataError(f"{where} holds a signal recipe {why}: {str(error).splitlines()[0]}") from None
        return cls(classifier.eval(), meta, signal, leads, quality)

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels, in the order of every output."""
        return tuple(self.meta.labels)

    @property
    def length(self) -> int:
        """Samples of each lead that the model was trained on."""
        return round(self.signal.rate * self.signal.seconds)

    def full_names(self) -> dict[str, str]:
        """Labels written out, as far as the label set is to be had."""
        try:
            known = load_label_set(self.meta.label_set).full_names
        # a label set from a file that is not here: the model works without it
        except PeaceError:
            known = {}
        return {label: known.get(label, label) for label in self.labels}

    def predict_file(self, path: Path, cohort: str = DEFAULT_COHORT) -> Prediction | RejectedRecord:
        """Label probabilities of one WFDB record; see predict_files."""
        return next(self.predict_files([path], cohort))

    def predict_files(
        self, paths: Sequence[Path], cohort: str = DEFAULT_COHORT
    ) -> Iterator[Prediction | RejectedRecord]:
        """One answer a path (a record with or without .hea), in their order; what cannot be read is refused.

        `cohort` chooses the filter, by the recipe's signal.filters: where the recording was made, not where the model
        was trained; `other` has no notch by default. Nine-lead records (no V2, V4, V6) are read even where training
        required twelve.
        Raises DataError for an unknown cohort.
        """
        known = list(type(self.signal.filters).model_fields)
        if cohort not in known:
            raise DataError(f"unknown cohort '{cohort}'{nearest(cohort, known)} (known: {', '.join(known)})")
        for start in range(0, len(paths), BATCH):
            some = paths[start : start + BATCH]
            read = [self.read(path, cohort) for path in some]
            good = [item for item in read if isinstance(item, Conditioned)]
            probability = iter(self._predict_conditioned(good))
            for path, item in zip(some, read, strict=True):
                if isinstance(item, Conditioned):
                    yield self._answer(path, cohort, item, next(probability))
                else:
                    yield item

    def read(self, path: Path, cohort: str) -> Conditioned | RejectedRecord:
        """Read and condition a record as in training, or say why not."""
        try:
            return condition_file(path, cohort, self.signal, LeadsConfig(require=9), self.quality)
        except RecordRejected as error:
            return RejectedRecord(str(path), error.reason, error.detail)
        # one unexpected record must not take the answers for the others with it
        except Exception as error:
            return RejectedRecord(str(path), "unexpected_error", f"{type(error).__name__}: {error}")

    @torch.no_grad()
    def predict_array(self, ecg_mv: NDArray[Any], lead_mask: NDArray[Any] | None = None) -> NDArray[np.float32]:
        """Probabilities (n, K) of recordings (n, 12, T) in mV, conditioned as in peace.data.signal, leads in its order.

        `lead_mask` (n, 12) is 1 where a lead is there; without it, a lead that is NaN throughout counts as absent.
        T is at the recipe's rate, a second or more. Raises DataError for another shape, and for single NaN samples.
        """
        ecg = np.array(ecg_mv, dtype=np.float32)
        if ecg.ndim != 3 or ecg.shape[1] != len(LEADS) or ecg.shape[2] < self.signal.rate:
            raise DataError(
                f"recordings must have the shape (n, {len(LEADS)}, {self.length}), in mV at {self.signal.rate} Hz, "
                f"not {ecg.shape}"
            )
        mask = np.asarray(~np.isnan(ecg).all(axis=2) if lead_mask is None else lead_mask, dtype=bool)
        if mask.shape != ecg.shape[:2]:
            raise DataError(f"the lead mask must have the shape {ecg.shape[:2]}, not {mask.shape}")
        ecg[~mask] = 0
        if not np.isfinite(ecg).all():
            raise DataError("recordings must be free of NaN and infinite samples, but for whole absent leads")
        parts = [
            torch.sigmoid(
                self.classifier(
                    torch.from_numpy(ecg[start : start + BATCH]),
                    torch.from_numpy(mask[start : start + BATCH].astype(np.float32)),
                )
            ).numpy()
            for start in range(0, len(ecg), BATCH)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.labels)), np.float32)

    def _predict_conditioned(self, records: Sequence[Conditioned]) -> NDArray[np.float32]:
        if not records:
            return np.zeros((0, len(self.labels)), np.float32)
        ecg_mv = to_mv(np.stack([record.signal for record in records]))
        return self.predict_array(ecg_mv, np.stack([record.lead_mask for record in records]))

    def _answer(self, path: Path, cohort: str, record: Conditioned, probability: NDArray[np.float32]) -> Prediction:
        values = dict(zip(self.labels, map(float, probability), strict=True))
        limits = self.meta.thresholds
        return Prediction(
            record=str(path),
            probabilities=values,
            thresholds=limits,
            positive=None if limits is None else [name for name, value in values.items() if value >= limits[name]],
            leads_present=[lead for lead, there in zip(LEADS, record.lead_mask, strict=True) if there],
            leads_missing=[lead for lead, there in zip(LEADS, record.lead_mask, strict=True) if not there],
            seconds=record.n_samples / self.signal.rate,
            warnings=self._warnings(record, cohort),
        )

    def _warnings(self, record: Conditioned, cohort: str) -> list[str]:
        """What a reader should know before believing the figures."""
        found = []
        missing = [lead for lead, there in zip(LEADS, record.lead_mask, strict=True) if not there]
        if missing and self.leads.require == len(LEADS):
            found.append(f"without {', '.join(missing)}: the model was trained on twelve-lead records only")
        seconds = record.n_samples / self.signal.rate
        if seconds < self.signal.seconds:
            found.append(f"{seconds:.1f} s long: the model was trained on {self.signal.seconds:g} s")
        if record.quality["rail_share"] > 0 and "saturated" not in record.flags:
            found.append("samples at the recorder's limit: an electrode may have been off")
        told = flag_texts(record.flags, record.quality)
        found += [record.notes.get(flag, text) for flag, text in zip(record.flags, told, strict=True)]
        if self.meta.thresholds is None:
            found.append("the model has no thresholds: none were fitted on validation data")
        elif cohort not in self.meta.cohort.split(","):
            found.append(
                f"thresholds were fitted on {self.meta.cohort} records, this one was read as {cohort} (--cohort)"
            )
        return found
