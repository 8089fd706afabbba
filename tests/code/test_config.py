"""Strict configuration: layers, unknown keys with the nearest known one, values of the wrong kind."""

from pathlib import Path

import pytest
import yaml

from peace.config import Config, build_config, dump_config, known_keys, load_config
from peace.core.errors import ConfigError


@pytest.mark.parametrize("preset", ["debug", "demo", "paper"])
def test_presets_are_valid_and_survive_yaml(preset: str) -> None:
    config = load_config(preset)
    assert build_config(yaml.safe_load(dump_config(config))) == config


def test_override_wins_over_file_wins_over_preset(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("pretrain: {epochs: 3, batch_size: 7}\n")
    config = load_config("demo", file, ["pretrain.epochs=4", "pretrain.learning_rate=1e-4"])
    assert (config.pretrain.epochs, config.pretrain.batch_size) == (4, 7)
    assert config.pretrain.learning_rate == 1e-4
    assert config.pretrain.warmup_steps == load_config("demo").pretrain.warmup_steps


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("pretrain.epoch=3", "did you mean 'pretrain.epochs'"),
        ("pretrian.epochs=3", "did you mean 'pretrain'"),
        ("model.encoder.width=[1]", "did you mean 'model.encoder.widths'"),
        ("pretrain.epochs=many", "pretrain.epochs"),
        ("adapt.shots=0", "adapt.shots"),
        ("leads.require=11", "leads.require"),
        ("pretrain.epochs", "key=value"),
    ],
)
def test_mistakes_name_key_and_remedy(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        load_config("demo", None, [override])


def test_unknown_preset_and_broken_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'demo'"):
        load_config("dem")
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1")
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_config("demo", broken)
    with pytest.raises(ConfigError, match="cannot read"):
        load_config("demo", tmp_path / "absent.yaml")


def test_every_section_is_typed_and_immutable() -> None:
    assert "objective.gate.form" in known_keys()
    with pytest.raises(ValueError, match="frozen"):
        Config().pretrain.epochs = 2  # type: ignore[misc]
