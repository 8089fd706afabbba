"""A checkpoint is a folder a person can open: weights without pickle, configuration, label set, recipe, statistics.

checkpoint/
  model.safetensors    the ECG classifier: all that inference needs, nothing of the text side
  checkpoint.json      label set, signal recipe, statistics, thresholds, where it came from
  config.yaml          the whole configuration
  training/            text side, optimiser, gate, random state: to go on training from here
"""

from __future__ import annotations

import functools
import shutil
import subprocess
from dataclasses import asdict, dataclass, fields, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from peace.config import Config, build_config, dump_config
from peace.errors import DataError
from peace.files import read_json, write_json, write_text

if TYPE_CHECKING:
    from peace.models import EcgClassifier

FORMAT = 1
INFERENCE_FILES = ("model.safetensors", "checkpoint.json", "config.yaml")
TEXT_FILE = "training/text.safetensors"


@dataclass(frozen=True)
class CheckpointMeta:
    """What a checkpoint knows of itself besides its weights and configuration."""

    labels: list[str]
    label_set: str
    label_set_digest: str
    recipe: dict[str, Any]
    statistics: dict[str, Any]
    cohort: str
    protocol: str
    descriptor_digest: str | None = None
    descriptors: dict[str, Any] | None = None
    thresholds: dict[str, float] | None = None
    code_version: str = ""
    format: int = FORMAT


def save_checkpoint(
    place: Path,
    classifier: EcgClassifier,
    config: Config,
    meta: CheckpointMeta,
    training: dict[str, torch.Tensor] | None = None,
    progress: dict[str, Any] | None = None,
) -> None:
    """Write a checkpoint into `place`, which is complete or absent afterwards.

    `training` holds the tensors of the text side; `progress` the state of optimiser, schedule, gate and random
    numbers (plain values and tensors).
    """
    staging = place.with_name(f".{place.name}.writing")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        _save_tensors(classifier.state_dict(), staging / "model.safetensors")
        write_text(staging / "config.yaml", dump_config(config))
        write_json(staging / "checkpoint.json", asdict(replace(meta, code_version=code_version())))
        if training is not None:
            (staging / "training").mkdir()
            _save_tensors(training, staging / TEXT_FILE)
        if progress is not None:
            (staging / "training").mkdir(exist_ok=True)
            torch.save(progress, staging / "training" / "progress.pt")
    except (OSError, RuntimeError, SafetensorError) as error:
        shutil.rmtree(staging, ignore_errors=True)
        raise DataError(f"could not write checkpoint {place}: {error}") from error
    shutil.rmtree(place, ignore_errors=True)
    staging.rename(place)


def find_checkpoint(place: Path) -> Path:
    """The checkpoint folder meant by `place`: itself, or the one inside a run directory. Raises DataError."""
    for candidate in (place, place / "checkpoint"):
        if (candidate / "checkpoint.json").is_file():
            return candidate
    raise DataError(
        f"{place} holds no checkpoint: expected {place}/checkpoint.json or {place}/checkpoint/checkpoint.json"
    )


def read_meta(place: Path) -> tuple[Config, CheckpointMeta]:
    """Configuration and description of a checkpoint. Raises DataError where it is broken or of another format."""
    place = find_checkpoint(place)
    values = read_json(place / "checkpoint.json")
    known = {item.name for item in fields(CheckpointMeta)}
    if not isinstance(values, dict) or values.get("format") != FORMAT or set(values) - known:
        raise DataError(f"{place}/checkpoint.json is not of format {FORMAT}: it was written by another version")
    try:
        config = build_config(yaml.safe_load((place / "config.yaml").read_text(encoding="utf-8")))
        return config, CheckpointMeta(**values)
    except (OSError, TypeError, yaml.YAMLError) as error:
        raise DataError(f"{place} is not a whole checkpoint: {error}") from None


def load_classifier(place: Path) -> tuple[EcgClassifier, CheckpointMeta]:
    """The classifier in evaluation mode, on the CPU, and its description. Raises DataError with the reason."""
    from peace.models import EcgClassifier

    place = find_checkpoint(place)
    config, meta = read_meta(place)
    classifier = EcgClassifier(config.model, meta.labels)
    _load_into(classifier, load_tensors(place / "model.safetensors"), place)
    return classifier.eval(), meta


def load_training(place: Path) -> tuple[dict[str, torch.Tensor] | None, dict[str, Any] | None]:
    """Tensors of the text side and the state of the training, each None where the checkpoint has none."""
    folder = find_checkpoint(place)
    text, progress = folder / TEXT_FILE, folder / "training" / "progress.pt"
    tensors = load_tensors(text) if text.exists() else None
    state = torch.load(progress, map_location="cpu", weights_only=True) if progress.exists() else None
    return tensors, state


def update_meta(place: Path, **changes: Any) -> None:
    """Rewrite fields of checkpoint.json, such as thresholds fitted after training."""
    place = find_checkpoint(place)
    _, meta = read_meta(place)
    write_json(place / "checkpoint.json", asdict(replace(meta, **changes)))


def copy_checkpoint(source: Path, target: Path, files: tuple[str, ...] | None = None) -> None:
    """Copy a checkpoint folder, or only `files` of it, so that `target` is complete or absent."""
    staging = target.with_name(f".{target.name}.writing")
    shutil.rmtree(staging, ignore_errors=True)
    try:
        if files is None:
            shutil.copytree(source, staging)
        else:
            staging.mkdir(parents=True)
            for name in files:
                (staging / name).parent.mkdir(exist_ok=True)
                shutil.copy2(source / name, staging / name)
    except OSError as error:
        shutil.rmtree(staging, ignore_errors=True)
        raise DataError(f"could not copy checkpoint {source} to {target}: {error}") from error
    shutil.rmtree(target, ignore_errors=True)
    staging.rename(target)


def load_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read a safetensors file; raises DataError where it is missing or damaged."""
    try:
        return load_file(path)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path} is damaged: {error}") from None


@functools.cache
def code_version() -> str:
    """Version of this package, with the git commit where it runs from a checkout."""
    version = metadata.version("peace-ray")
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        commit = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return version
    return f"{version}+{commit}"


def _save_tensors(tensors: dict[str, torch.Tensor], path: Path) -> None:
    save_file({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}, path)


def _load_into(classifier: EcgClassifier, tensors: dict[str, torch.Tensor], place: Path) -> None:
    try:
        classifier.load_state_dict(tensors)
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise DataError(f"{place}: weights do not fit the configuration beside them: {reason}") from None
