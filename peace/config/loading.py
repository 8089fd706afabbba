"""Read a configuration: defaults, then a preset (`peace/config/presets/*.yaml`), a file, and dotted overrides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from peace.config.sections import Config
from peace.core.errors import ConfigError, nearest

PRESETS = Path(__file__).with_name("presets")


def load_config(preset: str = "demo", file: Path | None = None, overrides: Sequence[str] = ()) -> Config:
    """Defaults, then a preset, then a YAML file, then `dotted.key=value` overrides.

    Raises ConfigError for an unknown key (naming the nearest), a value of the wrong kind, or an unreadable file.
    """
    values = _read_yaml(_preset_path(preset))
    if file is not None:
        values = merge(values, _read_yaml(file))
    for override in overrides:
        values = merge(values, _parse_override(override))
    return build_config(values)


def build_config(values: Mapping[str, Any]) -> Config:
    """Validate nested values into a Config; errors as in load_config."""
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError("; ".join(_explain(item) for item in error.errors())) from None


def override_config(config: Config, changes: Mapping[str, Any]) -> Config:
    """`config` with other values for dotted keys, validated. Raises ConfigError."""
    values: dict[str, Any] = config.model_dump()
    for key, value in changes.items():
        values = merge(values, nested(key, value))
    return build_config(values)


def nested(key: str, value: Any) -> dict[str, Any]:
    """`{"a": {"b": value}}` of the dotted key `a.b`."""
    for part in reversed(key.split(".")):
        value = {part: value}
    found: dict[str, Any] = value
    return found


def dump_config(config: Config) -> str:
    """YAML that load_config reads back to the same Config."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def known_keys(section: type[BaseModel] = Config, prefix: str = "") -> list[str]:
    """Every dotted key of the configuration."""
    keys: list[str] = []
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            keys += known_keys(kind, f"{prefix}{name}.")
        else:
            keys.append(prefix + name)
    return keys


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay nested mappings over each other; the second wins."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def _preset_path(preset: str) -> Path:
    path = PRESETS / f"{preset}.yaml"
    if not path.exists():
        names = sorted(found.stem for found in PRESETS.glob("*.yaml"))
        raise ConfigError(f"unknown preset '{preset}'{nearest(preset, names)} (known: {', '.join(names)})")
    return path


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise ConfigError(f"cannot read configuration {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must hold keys and values, not a {type(values).__name__}")
    return values


def _parse_override(override: str) -> dict[str, Any]:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"'{override}' is not an override: write key=value, such as pretrain.epochs=3")
    try:
        value: Any = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text
    # YAML 1.1 reads 1e-4 (no dot) as a string
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            pass
    return nested(key.strip(), value)


def _explain(item: Mapping[str, Any]) -> str:
    path = [str(part) for part in item["loc"]]
    dotted = ".".join(path)
    if item["type"] == "extra_forbidden":
        return f"unknown configuration key '{dotted}'{nearest(dotted, _candidates(path))}"
    if item["type"] == "value_error":  # a rule of ours: its message says what is wrong, the input may be a section
        return f"configuration key '{dotted}': {item['ctx']['error']}"
    return f"configuration key '{dotted}': {item['msg'].lower()}, got {item['input']!r}"


def _candidates(path: list[str]) -> list[str]:
    """Known keys to compare an unknown one with: its siblings first, else every dotted key."""
    keys = known_keys()
    siblings = [key for key in keys if key.split(".")[:-1] == path[:-1]]
    sections = sorted({key.split(".")[0] for key in keys})
    return siblings + keys + (sections if len(path) == 1 else [])
