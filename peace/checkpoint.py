"""A checkpoint is a folder a person can open: weights without pickle, configuration, label set, recipe, statistics.

checkpoint/
  model.safetensors    the ECG classifier: all that inference needs, nothing of the text side
  config.yaml          the whole configuration
  training/            text side, optimiser, gate: to go on training from here
  checkpoint.json      label set, signal recipe, statistics, thresholds, where it came from; digests of all files

checkpoint.json is written last and holds the SHA-256 of every other file and of itself: a checkpoint that was cut short
or changed since is known when it is read. It may lie on a disk or in an object store.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import io
import json
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch
import yaml
from safetensors import SafetensorError

from peace.config import Config, build_config, dump_config
from peace.core.errors import ConfigError, DataError
from peace.core.files import digest, json_text, read_json, write_text
from peace.core.storage import is_remote, translate_errors

if TYPE_CHECKING:
    from peace.models import EcgClassifier

FORMAT = 3
WEIGHTS_FILE = "model.safetensors"
META_FILE = "checkpoint.json"
INFERENCE_FILES = (WEIGHTS_FILE, META_FILE, "config.yaml")
TEXT_FILE = "training/text.safetensors"
PROGRESS_FILE = "training/progress.pt"


@dataclass(frozen=True)
class CheckpointMeta:
    """What a checkpoint knows of itself besides its weights and configuration.

    `epoch` and `step` say how far its training was: whole epochs, and steps of the next one; `val_auc` is the macro AUC
    on the validation split, where the checkpoint was taken at the end of an epoch.
    """

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
    epoch: int | None = None
    step: int = 0
    val_auc: float | None = None
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
    """Write a checkpoint to `place`, which is complete or absent afterwards. Raises DataError.

    `training` holds the tensors of the text side; `progress` the state of optimiser, schedule, gate and data order
    (plain values and tensors).
    """
    write_checkpoint(place, pack_checkpoint(classifier, config, meta, training, progress))


def pack_checkpoint(
    classifier: EcgClassifier,
    config: Config,
    meta: CheckpointMeta,
    training: dict[str, torch.Tensor] | None = None,
    progress: dict[str, Any] | None = None,
) -> dict[str, bytes]:
    """The files of a checkpoint as it is at this moment: training may go on while they are written."""
    packed = {WEIGHTS_FILE: _pack(classifier.state_dict()), "config.yaml": dump_config(config).encode()}
    if training is not None:
        packed[TEXT_FILE] = _pack(training)
    if progress is not None:
        stream = io.BytesIO()
        torch.save(progress, stream)
        packed[PROGRESS_FILE] = stream.getvalue()
    return packed | {META_FILE: json_text(asdict(replace(meta, code_version=code_version()))).encode()}


def write_checkpoint(place: Path, packed: Mapping[str, bytes]) -> None:
    """Write packed files, with their digests; `place` is complete or absent afterwards. Raises DataError."""
    meta = json.loads(packed[META_FILE])
    meta["files"] = {name: hashlib.sha256(packed[name]).hexdigest() for name in sorted({*packed} - {META_FILE})}
    contents = {name: packed[name] for name in meta["files"]}
    contents[META_FILE] = _sealed(meta).encode()  # last: it vouches for the others
    try:
        with translate_errors(place):
            _write(place, contents)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise DataError(
                f"no space left for checkpoint {place}: free some and run the same command again"
            ) from error
        raise DataError(f"could not write checkpoint {place}: {error}") from error


def _write(place: Path, contents: Mapping[str, bytes]) -> None:
    if is_remote(place):
        remove_checkpoint(place)
        for name, content in contents.items():
            (place / name).write_bytes(content)
        return
    staging = place.with_name(f".{place.name}.writing")
    shutil.rmtree(staging, ignore_errors=True)
    try:
        for name, content in contents.items():
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            (staging / name).write_bytes(content)
        remove_checkpoint(place)
        staging.rename(place)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def remove_checkpoint(place: Path) -> None:
    """Remove a checkpoint; what a kill leaves of it is no checkpoint."""
    if is_remote(place):
        store: Any = place
        with translate_errors(place):
            if store.fs.exists(f"{store.path}/{META_FILE}"):
                store.fs.rm_file(f"{store.path}/{META_FILE}")
            if store.fs.find(store.path):
                store.fs.rm(store.path, recursive=True)
        return
    going = place.with_name(f".{place.name}.going")
    shutil.rmtree(going, ignore_errors=True)
    if place.exists():
        place.rename(going)
        shutil.rmtree(going, ignore_errors=True)


def find_checkpoint(place: Path) -> Path:
    """The checkpoint folder meant by `place`: itself, or the one inside a run directory. Raises DataError."""
    with translate_errors(place):
        for candidate in (place, place / "checkpoint"):
            if (candidate / META_FILE).is_file():
                return candidate
    raise DataError(
        f"{place} holds no checkpoint: expected {place}/checkpoint.json or {place}/checkpoint/checkpoint.json"
    )


def check_checkpoint(place: Path) -> None:
    """Raise DataError, with the reason, where a file of a checkpoint is missing or differs from what was written."""
    known = _read_sealed(place)["files"]
    for name in known:
        _read_file(place, name, known)


def read_meta(place: Path) -> tuple[Config, CheckpointMeta]:
    """Configuration and description of a checkpoint. Raises DataError where it is broken or of another format."""
    place = find_checkpoint(place)
    values = _read_sealed(place)
    known = values.pop("files")
    del values["digest"]
    try:
        config = build_config(yaml.safe_load(_read_file(place, "config.yaml", known).decode("utf-8")))
        return config, CheckpointMeta(**values)
    except (ConfigError, TypeError, ValueError, yaml.YAMLError) as error:
        raise DataError(f"{place} of release {values.get('code_version')} is not a valid checkpoint: {error}") from None


def load_classifier(place: Path) -> tuple[EcgClassifier, CheckpointMeta]:
    """The classifier in evaluation mode, on the CPU, and its description. Raises DataError with the reason."""
    from peace.models import EcgClassifier

    place = find_checkpoint(place)
    config, meta = read_meta(place)
    classifier = EcgClassifier(config.model, meta.labels)
    _load_into(classifier, _tensors(place, WEIGHTS_FILE, _read_sealed(place)["files"]), place)
    return classifier.eval(), meta


def load_training(place: Path) -> tuple[dict[str, torch.Tensor] | None, dict[str, Any] | None]:
    """Tensors of the text side and the state of the training, each None where the checkpoint has none."""
    place = find_checkpoint(place)
    known = _read_sealed(place)["files"]
    tensors = _tensors(place, TEXT_FILE, known) if TEXT_FILE in known else None
    if PROGRESS_FILE not in known:
        return tensors, None
    content = _read_file(place, PROGRESS_FILE, known)
    return tensors, torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def update_meta(place: Path, **changes: Any) -> None:
    """Rewrite fields of checkpoint.json, such as thresholds fitted after training."""
    place = find_checkpoint(place)
    write_text(place / META_FILE, _sealed(_read_sealed(place) | changes))


def copy_checkpoint(source: Path, target: Path, files: Iterable[str] | None = None) -> None:
    """Copy a checkpoint, or of its files only those among `files`; `target` is complete or absent afterwards."""
    meta = _read_sealed(source)
    known = meta.pop("files")
    packed = {name: _read_file(source, name, known) for name in known if files is None or name in files}
    write_checkpoint(target, packed | {META_FILE: json_text(meta).encode()})


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


def _sealed(values: dict[str, Any]) -> str:
    """checkpoint.json with a digest of itself."""
    values = {name: value for name, value in json.loads(json_text(values)).items() if name != "digest"}
    return json_text(values | {"digest": digest(values)})


def _read_sealed(place: Path) -> dict[str, Any]:
    values = read_json(place / META_FILE)
    known = {item.name for item in fields(CheckpointMeta)} | {"files", "digest"}
    if not isinstance(values, dict) or values.get("format") != FORMAT or set(values) - known:
        raise DataError(f"{place}/checkpoint.json {_of_another_format(values)}")
    if values.get("digest") != digest({name: value for name, value in values.items() if name != "digest"}):
        raise DataError(f"{place}/checkpoint.json does not match its own digest: damaged, or changed by hand")
    return values


def _of_another_format(values: Any) -> str:
    """What a description is that this release cannot read: of which format, written by which release, read by which."""
    if not isinstance(values, dict) or not isinstance(values.get("format"), int):
        return "is no description of a checkpoint of ours"
    number, release = values["format"], values.get("code_version") or "an unnamed release"
    what = f"is of format {number}" if number != FORMAT else "has fields that this release does not know"
    ours = f"release {metadata.version('peace-ray')} reads format {FORMAT}"
    return f"{what}, written by release {release}: {ours}; install that release, or train it again with this one"


def _read_file(place: Path, name: str, known: Mapping[str, str]) -> bytes:
    """A file of a checkpoint, as it was written by its digest among `known`. Raises DataError."""
    if name not in known:
        raise DataError(f"{place} holds no {name}")
    try:
        with translate_errors(place):
            content = (place / name).read_bytes()
    except FileNotFoundError:
        raise DataError(f"{place / name} does not exist: the checkpoint is not whole") from None
    except OSError as error:
        raise DataError(f"{place / name} cannot be read: {error}") from None
    if hashlib.sha256(content).hexdigest() != known[name]:
        raise DataError(f"{place / name} is damaged: its {len(content)} bytes do not match their digest")
    return content


def _pack(tensors: dict[str, torch.Tensor]) -> bytes:
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    packed: bytes = safetensors.torch.save(plain)
    return packed


def _tensors(place: Path, name: str, known: Mapping[str, str]) -> dict[str, torch.Tensor]:
    try:
        tensors: dict[str, torch.Tensor] = safetensors.torch.load(_read_file(place, name, known))
        return tensors
    except SafetensorError as error:
        raise DataError(f"{place / name} is damaged: {error}") from None


def _load_into(classifier: EcgClassifier, tensors: dict[str, torch.Tensor], place: Path) -> None:
    try:
        classifier.load_state_dict(tensors)
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise DataError(f"{place}: weights do not fit the configuration beside them: {reason}") from None
