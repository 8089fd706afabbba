"""A name and a password in an address: the run connects with them, and leaves them nowhere."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from conftest import peace
from mlflow import MlflowClient
from mlflow_server import MlflowServer, mlflow_server
from predictions_table import predictions_frame
from preprocess_runs import cluster

from jobs.cli import main
from jobs.tracking.store import signed_in, unmasked
from peace.config import dump_config, load_config
from peace.core.errors import ConfigError
from peace.core.masking import masked
from peace.core.storage import to_path

NAME, PASSWORD = "jane.planted", "pl%40nted-hush"
SECRETS = (NAME, PASSWORD, unquote(PASSWORD))


def planted(uri: str) -> str:
    return uri.replace("://", f"://{NAME}:{PASSWORD}@")


def leaks(folder: Path) -> list[str]:
    """Files below a folder that hold the name or the password; a database's are read as bytes."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [str(path) for path in files if any(secret.encode() in path.read_bytes() for secret in SECRETS)]


def said(*texts: str) -> list[str]:
    return [text for text in texts if any(secret in text for secret in SECRETS)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with mlflow_server(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.mark.heavy
def test_a_run_leaves_neither_name_nor_password(server: MlflowServer, small_cohorts: Path, tmp_path: Path) -> None:
    manifest = small_cohorts / "index-zzu" / "manifest.parquet"
    with cluster() as made:
        words = [
            "preprocess",
            "--manifest",
            manifest,
            "--out",
            "out",
            "--preset",
            "debug",
            f"ray.address={made.address}",
        ]
        done = peace(*words, f"tracking.uri={planted(server.uri)}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        logs = Path(made.head_node.get_session_dir_path())
        assert leaks(logs) == []
    assert said(done.stdout, done.stderr) == []
    assert leaks(tmp_path) == []
    assert leaks(server.path) == []
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    run = MlflowClient(server.uri).get_run(result["mlflow_run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.params["tracking.uri"] == server.uri.replace("://", "://***@")


def test_a_store_that_is_down_is_named_without_them_and_gets_the_run_later(
    server: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "")  # put back at the end
        monkeypatch.delenv(name)
    predictions_frame().to_parquet("p.parquet")
    words = ["evaluate", "--predictions", "p.parquet", "--out", "out", "evaluation.bootstrap=10"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", planted("http://127.0.0.1:9"))
    assert main(words) == 0
    printed = capsys.readouterr()
    assert "no MLflow at http://***@127.0.0.1:9" in printed.err
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.delenv(name)  # as in another process
    assert leaks(tmp_path) == []
    # a password that nobody keeps has to be given again
    assert main(["track", "sync", "out"]) == 2
    assert "was kept without its password" in capsys.readouterr().err
    assert main(["track", "sync", "out", f"tracking.uri={planted(server.uri)}"]) == 0
    printed = capsys.readouterr()
    assert said(printed.out, printed.err) == []
    assert leaks(tmp_path) == leaks(server.path) == []


@pytest.mark.parametrize(
    "words",
    [
        ["config", f"tracking.uri={planted('postgresql://db/mlflow')}", f"ray.storage={planted('s3://bucket/a')}"],
        ["synthesize", "--out", planted("s3://bucket/out")],
        ["synthesize", "--out", planted("ftp://host/out")],
        ["synthesize", "--out", "o", f"tracking.uri={planted('file://host/x')}", "--preset", "debug"],
        ["synthesize", planted("http://host/unheard-of")],
        [
            "fetch",
            "ptbxl",
            "--root",
            "r",
            "--base-url",
            planted("http://127.0.0.1:9/x"),
            "fetch.retries=0",
            "--out",
            "o",
        ],
        ["leaderboard", f"tracking.uri={planted('http://127.0.0.1:9')}"],
        ["leaderboard", f"tracking.uri={planted('mysql://db:3306/mlflow')}"],
        ["jobs", "list", "--address", planted("http://127.0.0.1:9")],
    ],
)
def test_nothing_that_is_said_holds_them(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kept").write_text("")
    try:
        main(words)
    except SystemExit:
        pass  # argparse, of the word that it does not know
    printed = capsys.readouterr()
    assert printed.out + printed.err
    assert said(printed.out, printed.err) == []
    assert "Traceback" not in printed.err
    assert leaks(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("http://a:b@h/x and ftp://c@h", "http://***@h/x and ftp://***@h"),
        ("postgresql+psycopg://u:p@ss@db:5432/m", "postgresql+psycopg://***@db:5432/m"),
        ("postgresql://u:p/w@db/m", "postgresql://***@db/m"),
        ('{"uri": "http://u:p@h", "mail": "me@x"}', '{"uri": "http://***@h", "mail": "me@x"}'),
        ("s3://b/k?aws_secret_access_key=abc&region=eu", "s3://b/k?aws_secret_access_key=***&region=eu"),
        ("https://h/x?X-Amz-Signature=1f&Sig=2&user=me", "https://h/x?X-Amz-Signature=***&Sig=***&user=***"),
        ("http://127.0.0.1:5000/#/runs/a@b", "http://127.0.0.1:5000/#/runs/a@b"),
        ("s3://bucket/folder@2/x, me@host", "s3://bucket/folder@2/x, me@host"),
        ("models:/peace12@champion", "models:/peace12@champion"),
    ],
)
def test_what_is_masked_and_what_is_not(text: str, right: str) -> None:
    assert masked(text) == right
    assert masked(right) == right


def test_a_configuration_keeps_the_address_and_shows_it_masked() -> None:
    config = load_config("debug", overrides=[f"tracking.uri={planted('http://h')}", f"ray.storage={planted('s3://b')}"])
    assert config.tracking.uri == planted("http://h")
    assert said(dump_config(config), str(config.model_dump(mode="json"))) == []


def test_an_address_from_a_runs_files_is_made_whole_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_URI"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    with pytest.raises(ConfigError, match="without its password"):
        unmasked("http://***@h:1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", planted("http://h:1"))
    assert unmasked("http://***@h:1") == planted("http://h:1")
    assert signed_in(planted("http://h:1/x")) == "http://h:1/x"
    assert os.environ["MLFLOW_TRACKING_USERNAME"] == NAME
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == unquote(PASSWORD)
    assert unmasked("http://***@other:1") == "http://other:1"
    with pytest.raises(ConfigError, match="without its password"):
        unmasked("postgresql://***@db/x")
    assert signed_in("postgresql://u:p@db/x") == "postgresql://u:p@db/x"
    with pytest.raises(ConfigError, match="keys in an address are not read"):
        to_path(planted("s3://bucket"))
