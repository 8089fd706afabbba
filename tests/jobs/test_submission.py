"""What travels with a submitted job, and what is refused before anything travels."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import peace

from jobs.local_cluster import processes as cluster_processes
from jobs.local_cluster.start import free_ports
from jobs.submission.client import find_address
from jobs.submission.follow import Printer
from jobs.submission.package import environment, is_this_machine, package, refuse_unseen, sees_this_machine, tracking
from jobs.submit import read_line
from peace.config import load_config
from peace.core.errors import ConfigError

HEAD = "http://head:8265"


def test_the_package_is_the_code_and_nothing_else(tmp_path: Path) -> None:
    """Run in a copy of the project, beside what a working checkout has lying about."""
    project = tmp_path / "project"
    for name in ("peace", "jobs", "tune_spaces", "cluster"):
        shutil.copytree(Path(__file__).parents[2] / name, project / name)
    (project / "peace" / "__pycache__").mkdir(exist_ok=True)
    for name in (".venv/lib/big.so", "runs/demo/shard.parquet", ".git/objects/pack", "data/a.dat", "jobs/.hidden"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_bytes(os.urandom(3_000_000))
    (project / "peace" / "__pycache__" / "x.pyc").write_bytes(os.urandom(3_000_000))
    script = (
        "import sys, shutil; from pathlib import Path; from jobs.submission.package import package\n"
        "with package({'config.yaml': Path(sys.argv[1])}) as folder: shutil.make_archive(sys.argv[2], 'zip', folder)\n"
        "with package({}) as folder: print(*sorted(str(p.relative_to(folder)) for p in folder.rglob('*')), sep='\\n')\n"
    )
    config = tmp_path / "mine.yaml"
    config.write_text("seed: 7\n")
    command = [sys.executable, "-c", script, str(config), str(tmp_path / "package")]
    listed = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True).stdout.split()
    assert {name.split("/")[0] for name in listed} == {"peace", "jobs", "tune_spaces", "cluster"}
    for needed in ("jobs/cli.py", "peace/data/labels/peace12.yaml", "peace/config/presets/demo.yaml", "peace/reports"):
        assert needed in listed
    assert not [name for name in listed if "__pycache__" in name or "/." in name]
    assert (tmp_path / "package.zip").stat().st_size < 1_000_000


def test_a_verbs_line_is_read_as_the_verb_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("seed: 7\n")
    line = ["--shards", "s3://bucket/shards", "--out=runs/model", "--config", "mine.yaml"]
    inner = read_line("pretrain", line, ["ray.workers=2"])
    assert inner.config.seed == 7
    assert inner.config.ray.workers == 2
    assert inner.words == [
        *("--shards", "s3://bucket/shards", f"--out={tmp_path}/runs/model"),
        *("--config", "submitted/config.yaml", "ray.workers=2"),
    ]
    assert inner.paths == {"runs/model": "--out"}
    assert inner.out == f"{tmp_path}/runs/model"
    many = read_line("predict", ["a.hea", "../b.hea", "--model", "./run"], [])
    assert many.words == [f"{tmp_path}/a.hea", f"{tmp_path.parent}/b.hea", "--model", f"{tmp_path}/run"]
    assert read_line("predict", ["a.hea", "--model", "models:/m@champion"], []).words[2] == "models:/m@champion"
    with pytest.raises(ConfigError, match="--out DIR is missing"):
        read_line("pretrain", ["--shards", "s3://b/s"], [])
    with pytest.raises(ConfigError, match=r"pretrain\.epoch'"):
        read_line("pretrain", ["--shards", "s3://b/s", "--out", "s3://b/o"], ["pretrain.epoch=3"])
    with pytest.raises(ConfigError, match="runs here"):
        read_line("cluster", ["up"], [])


@pytest.mark.parametrize(
    ("line", "overrides", "named"),
    [
        (["--shards", "/data/shards", "--out", "s3://b/o"], [], "--shards /data/shards"),
        (["--shards", "s3://b/s", "--out", "runs/x"], [], "--out runs/x"),
        (["--shards", "s3://b/s", "--out", "/mnt/team-b/x"], [], "--out /mnt/team-b/x"),
        (["--shards", "s3://b/s", "--out", "/mnt/team/../x"], [], "--out /mnt/team/../x"),
        (
            ["--shards", "s3://b/s", "--out", "s3://b/o"],
            ["objective.descriptors=/home/me/d.json"],
            "objective.descriptors /home/me",
        ),
    ],
)
def test_a_path_that_the_cluster_cannot_see_is_refused(line: list[str], overrides: list[str], named: str) -> None:
    with pytest.raises(ConfigError, match=named) as refused:
        refuse_unseen(read_line("pretrain", line, overrides).paths, ["/mnt/team"], HEAD)
    assert "--shared" in str(refused.value)


def test_it_is_refused_before_anybody_is_asked(tmp_path: Path) -> None:
    """The address is of no machine at all (RFC 5737)."""
    line = ["--shards", str(tmp_path), "--out", "s3://b/o", "--address", "http://203.0.113.77:8265"]
    done = peace("submit", "pretrain", *line, cwd=tmp_path, timeout=60)
    assert done.returncode == 2
    assert "cannot see this machine's disk" in done.stderr
    assert not is_this_machine("http://203.0.113.77:8265")
    assert is_this_machine("http://localhost:8265")


def test_what_the_cluster_can_see_is_taken() -> None:
    line = ["--shards", "/mnt/team/shards", "--out", "s3://b/o"]
    refuse_unseen(read_line("pretrain", line, ["objective.descriptors=curated"]).paths, ["/mnt/team"], HEAD)
    here = {"hostname": os.uname().nodename}
    assert sees_this_machine([here, here])
    assert not sees_this_machine([here, {"hostname": "pod-7"}])
    assert not sees_this_machine([])


def test_a_tracking_store_must_be_reachable_from_the_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    own, server = load_config(), "http://127.0.0.1:5000"
    assert tracking(own, server, True, HEAD) == server
    assert tracking(own, None, True, HEAD) == f"sqlite:///{tmp_path}/mlflow.db"
    assert tracking(load_config(overrides=["tracking.enabled=false"]), None, False, HEAD) is None
    for uri in (None, "sqlite:////home/me/mlflow.db", "http://localhost:5000", "postgresql://u:secret@db/mlflow"):
        named = own if uri is None else load_config(overrides=[f"tracking.uri={uri}"])
        with pytest.raises(ConfigError) as refused:
            tracking(named, None, False, HEAD)
        assert "secret" not in str(refused.value)


def test_no_secret_enters_a_runtime_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "GEMINI_API_KEY", "RAY_AUTH_TOKEN", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "hush")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://store")
    variables = environment(["TZ=UTC"])
    assert variables["AWS_ENDPOINT_URL"] == "http://store"
    assert variables["TZ"] == "UTC"
    assert "hush" not in str(variables)
    for secret in ("GEMINI_API_KEY=hush", "MY_TOKEN=hush", "password=hush", "AWS_SECRET_ACCESS_KEY=hush"):
        with pytest.raises(ConfigError) as refused:
            environment([secret])
        assert "hush" not in str(refused.value)


def test_addresses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PEACE_CLUSTER_DIR", str(tmp_path))
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match="peace cluster up"):
        find_address(None)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")  # where Ray is joined, not where jobs are submitted
    with pytest.raises(ConfigError):
        find_address(None)
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", HEAD)
    assert find_address(None) == HEAD
    assert find_address("other:8265/") == "http://other:8265"
    with pytest.raises(ConfigError, match="not a dashboard"):
        find_address("ray://head:10001")


def test_only_marked_processes_are_ended(tmp_path: Path) -> None:
    """A marked one that has started a child in a session of its own, and a stranger."""
    child = "import subprocess, sys, time; subprocess.Popen(['sleep', '600'], start_new_session=True); time.sleep(600)"
    cluster_processes.start([sys.executable, "-c", child], dict(os.environ), "mine", tmp_path / "log")
    stranger = subprocess.Popen(["sleep", "600"], env={**os.environ, cluster_processes.MARK: "another's"})
    try:
        while len(cluster_processes.of_cluster("mine")) < 2:
            pass
        assert cluster_processes.end("mine", patience=5) == 2
        assert cluster_processes.of_cluster("mine") == []
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_ports_are_free_and_different() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("", 0))
        ports = free_ports(4, first=[taken.getsockname()[1]])
        assert len(set(ports) | {taken.getsockname()[1]}) == 5


def test_a_bar_stays_on_one_line_of_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True)
    printer = Printer(screen)
    bars = "preprocess:  10%|#   | 344/400 [00:10<00:01, 33.90 records/s]\n" * 2
    printer.print("first\n" + bars + "done\n")
    assert screen.getvalue().count("\n") == 3
    assert screen.getvalue().endswith("\ndone\n")


def test_packaging_leaves_nothing_behind() -> None:
    with package({}) as folder:
        assert (folder / "jobs" / "submit.py").is_file()
    assert not folder.exists()
