"""Strict configuration: layers, unknown keys with the nearest known one, values of the wrong kind."""

from pathlib import Path

import pytest
import yaml

from jobs.cli import VERBS, main, verb_of
from jobs.runtime.overrides import refuse_unread
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


@pytest.mark.parametrize("name", sorted(VERBS))
def test_a_verb_refuses_what_it_does_not_read(name: str) -> None:
    verb = verb_of(name)
    for part in verb.reads:
        assert any(key == part or key.startswith(f"{part}.") for key in known_keys()), (
            f"{name} reads no such key: {part}"
        )
        refuse_unread(name, [f"{part}=1"], verb.reads)
    unread = [key for key in known_keys() if not any(f"{key}.".startswith(f"{part}.") for part in verb.reads)]
    assert unread or name in ("config", "submit")
    for key in unread:
        with pytest.raises(ConfigError, match=f"does not read {key}"):
            refuse_unread(name, ["tracking.enabled=false", f"{key}=1"], verb.reads)


def test_sections_and_parts_of_a_key_count_as_the_key() -> None:
    reads = ("model.text", "ray.address")
    refuse_unread("x", ["model={text: {name: hash}}", "model.text.name=hash", "ray.address.deeper=1"], reads)
    refuse_unread("x", ["unheard.of=1"], reads)  # load_config names the nearest key
    for key in ("model.texts=1", "model.width=3", "ray.workers=2", "seed=1", "promotion.label_floors.LVH=0.7"):
        with pytest.raises(ConfigError, match="does not read"):
            refuse_unread("x", [key], reads)


def test_a_file_may_serve_several_verbs_but_a_command_line_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "shared.yaml").write_text(
        "pretrain: {epochs: 3}\nsynthetic: {mimic_records: 0, zzu_records: 2, ptbxl_records: 0}"
    )
    words = ["synthesize", "--out", str(tmp_path / "out"), "--config", str(tmp_path / "shared.yaml"), "--workers", "1"]
    assert main([*words, "tracking.enabled=false"]) == 0
    capsys.readouterr()
    for override in ("pretrain.epochs=4", "--pretrain.epochs=4"):
        assert main([*words, override]) == 2
        told = capsys.readouterr().err
        assert told.startswith(
            "peace synthesize: `peace synthesize` does not read pretrain.epochs: it reads synthetic, "
        )
        assert len(told.splitlines()) == 1
