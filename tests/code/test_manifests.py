"""What lies in cluster/: Kubernetes and KubeRay manifests, Dockerfile, Slurm script, cloud YAML, held against schemas.

None of it can run here. So: every field exists, every reference leads somewhere, every command is one of ours, no
secret is written down, nothing is open or root, and jobs ask for no more than their cluster has.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from jsonschema import Draft202012Validator
from kuberay_schema import SCHEMAS
from kubernetes_validate.utils import schema_contents
from kustomize import render
from referencing import Registry, Resource

from jobs.runtime.harness import parser_of
from jobs.runtime.overrides import split_overrides
from jobs.runtime.verbs import VERBS, verb_of
from peace.config import load_config

PROJECT = Path(__file__).parents[2]
CLUSTER = PROJECT / "cluster"
OVERLAYS = sorted(path.parent for path in (CLUSTER / "kuberay").rglob("kustomization.yaml"))
KUBERNETES = "1.31"
SECRETS_OF_THE_PAGE = {"peace-auth", "peace-redis", "peace-postgres", "peace-store"}
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module", params=OVERLAYS, ids=lambda path: path.name)
def objects(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    return render(request.param)


def kind(objects: list[dict[str, Any]], *names: str) -> list[dict[str, Any]]:
    return [item for item in objects if item["kind"] in names]


def walk(value: Any) -> Iterator[Any]:
    yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from walk(inner)


def pods(objects: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Every pod specification, wherever it stands."""
    for value in walk(objects):
        if isinstance(value, dict) and "containers" in value:
            yield value


def schema_faults(item: dict[str, Any]) -> list[str]:
    definitions = schema_contents(f"kubernetes-json-schema/v{KUBERNETES}.0-local-strict/_definitions.json", KUBERNETES)
    registry = Registry().with_resource("/api/_definitions.json", Resource.from_contents(definitions))
    validator = Draft202012Validator(SCHEMAS[item["kind"]], registry=registry)
    return [
        f"{'/'.join(map(str, fault.absolute_path))}: {fault.message[:200]}" for fault in validator.iter_errors(item)
    ]


def test_every_object_fits_its_schema(objects: list[dict[str, Any]]) -> None:
    for item in objects:
        if item["apiVersion"].startswith("ray.io/"):
            assert schema_faults(item) == [], item["metadata"]["name"]
        else:
            kubernetes_validate.validate(item, KUBERNETES, strict=True)


def test_the_schemas_see_mistakes() -> None:
    for place, value in (
        (("spec", "workerGroupSpec"), []),
        (("spec", "autoscalerOptions", "version"), "v3"),
        (("spec", "headGroupSpec", "template", "spec", "containers", 0, "imagePullPolice"), "Always"),
        (("spec", "workerGroupSpecs", 0, "maxReplicas"), "many"),
    ):
        cluster = kind(render(CLUSTER / "kuberay" / "base"), "RayCluster")[0]
        at: Any = cluster
        for step in place[:-1]:
            at = at[step]
        at[place[-1]] = value
        assert schema_faults(cluster), place


def test_references_lead_somewhere(objects: list[dict[str, Any]]) -> None:
    def named(*kinds: str) -> set[str]:
        return {item["metadata"]["name"] for item in kind(objects, *kinds)}

    for value in walk(objects):
        if not isinstance(value, dict):
            continue
        for field, known in (
            ("secretKeyRef", SECRETS_OF_THE_PAGE),
            ("secretRef", SECRETS_OF_THE_PAGE),
            ("configMapRef", named("ConfigMap")),
        ):
            if field in value:
                assert value[field]["name"] in known
        if "persistentVolumeClaim" in value:
            assert value["persistentVolumeClaim"]["claimName"] in named("PersistentVolumeClaim")
        if "clusterSelector" in value:
            assert value["clusterSelector"]["ray.io/cluster"] in named("RayCluster")
        if "serviceAccountName" in value:
            assert value["serviceAccountName"] in named("ServiceAccount")
    labels = [item["spec"]["template"]["metadata"]["labels"] for item in kind(objects, "Deployment", "StatefulSet")]
    for service in kind(objects, "Service"):
        assert service["spec"]["selector"] in labels


def test_mounts_and_ports_are_there(objects: list[dict[str, Any]]) -> None:
    for pod in pods(objects):
        mounted = {mount["name"] for box in pod["containers"] for mount in box.get("volumeMounts", [])}
        claims = {"data"}  # of StatefulSets
        assert mounted <= {volume["name"] for volume in pod.get("volumes", [])} | claims
        for box in pod["containers"]:
            ports = {port["name"] for port in box.get("ports", [])}
            for probe in (box[name] for name in box if name.endswith("Probe")):
                port = (probe.get("httpGet") or probe.get("tcpSocket") or {}).get("port")
                assert isinstance(port, int | None) or port in ports


def test_nothing_is_root_open_or_secret(objects: list[dict[str, Any]]) -> None:
    for pod in pods(objects):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not pod.get("hostNetwork")
        for box in pod["containers"]:
            assert box["securityContext"]["allowPrivilegeEscalation"] is False
            assert box["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert re.search(r":[\w.]*\d+\.\d+", box["image"]), f"{box['image']} is not pinned"
            assert "memory" in box["resources"]["requests"]
            assert "cpu" in box["resources"]["requests"]
            assert "memory" in box["resources"]["limits"]
            for variable in box.get("env", []):
                secret = re.search("TOKEN|PASSWORD|SECRET|KEY", variable["name"])
                assert not (secret and "value" in variable), variable["name"]
    assert not kind(objects, "Secret", "Ingress")
    for service in kind(objects, "Service"):
        assert service["spec"].get("type", "ClusterIP") == "ClusterIP"
    for cluster in kind(objects, "RayCluster"):
        assert cluster["spec"]["authOptions"] == {"mode": "token", "secretName": "peace-auth"}
        assert cluster["spec"]["headGroupSpec"]["serviceType"] == "ClusterIP"
    closed = [item for item in kind(objects, "NetworkPolicy") if item["spec"]["podSelector"] == {}]
    assert len(closed) == 1
    assert "ingress" not in closed[0]["spec"]


def test_the_cluster_survives_what_it_should(objects: list[dict[str, Any]]) -> None:
    cluster = kind(objects, "RayCluster")[0]["spec"]
    assert cluster["enableInTreeAutoscaling"] is True
    assert cluster["autoscalerOptions"]["version"] == "v2"
    assert cluster["gcsFaultToleranceOptions"]["redisPassword"]["valueFrom"]["secretKeyRef"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        assert pod["restartPolicy"] == "Never"  # as autoscaler v2 wants it
        assert {"livenessProbe", "readinessProbe"} <= set(pod["containers"][0])
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert {item["metadata"]["name"] for item in kind(objects, "PodDisruptionBudget")} >= {"peace-head", "peace-redis"}


def test_jobs_are_ours_and_fit_their_cluster(objects: list[dict[str, Any]]) -> None:
    groups = kind(objects, "RayCluster")[0]["spec"]["workerGroupSpecs"]
    for job in kind(objects, "RayJob"):
        config, verb = command(job["spec"]["entrypoint"])
        gpus = sum(group["maxReplicas"] * int(requests(group).get("nvidia.com/gpu", 0)) for group in groups)
        cores = sum(group["maxReplicas"] * int(requests(group)["cpu"]) for group in groups)
        if verb in ("pretrain", "adapt") and config.ray.gpu:
            assert config.ray.workers <= gpus
            one = min(int(requests(group)["cpu"]) for group in groups if "nvidia.com/gpu" in requests(group))
            assert (config.ray.cpus_per_worker or 0) <= one
        assert config.ray.workers * (config.ray.cpus_per_worker or 1) <= cores


def requests(group: dict[str, Any]) -> dict[str, str]:
    return dict(group["template"]["spec"]["containers"][0]["resources"]["requests"])


def command(line: str) -> tuple[Any, str]:
    """The configuration and the verb of a command line; fails where the verb refuses it."""
    words = shlex.split(line)
    assert words[0] == "peace"
    assert words[1] in VERBS, line
    verb = verb_of(words[1])
    arguments, overrides = split_overrides(words[2:])
    args = parser_of(verb).parse_args(arguments)
    return load_config(args.preset, None, [*overrides, *verb.overrides(args)]), words[1]


def test_commands_of_containers_are_ours(objects: list[dict[str, Any]]) -> None:
    for pod in pods(objects):
        for box in pod["containers"]:
            if box.get("command", [""])[0] == "peace":
                command(shlex.join([*box["command"], *box.get("args", [])]))


def test_commands_in_comments_are_ours() -> None:
    files = [path for path in CLUSTER.rglob("*") if path.suffix in (".yaml", ".yml", ".sbatch", "") and path.is_file()]
    found = [
        line.strip()
        for path in files
        for line in re.findall(r"^#\s{2,}((?:peace|ray) [a-z].*?)(?:\s{2,}.*)?$", path.read_text(), re.MULTILINE)
    ]
    assert found
    for line in found:
        words = line.split()
        assert words[1] in VERBS if words[0] == "peace" else words[1] in ("up", "down", "dashboard", "get-auth-token")


def test_the_dockerfile() -> None:
    path = CLUSTER / "docker" / "Dockerfile"
    done = subprocess.run([BIN / "hadolint", "--no-color", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    text = path.read_text()
    stages = re.findall(r"^FROM (\S+) AS (\w+)$", text, re.MULTILINE)
    known: list[str] = []
    for source, name in stages:
        assert source in known or re.search(r":\d+\.\d+\.\d+", source), f"{source} is not pinned"
        known.append(name)
    assert {"cpu", "cuda"} <= set(known)
    assert re.search(r"^USER 1000", text, re.MULTILINE)
    pins = dict(line.split("==") for line in (PROJECT / "constraints.txt").read_text().splitlines() if "==" in line)
    for name, version in re.findall(r"([\w-]+)==([\w.]+)", text):
        assert pins[name] == version
    # what is copied exists and is let in
    ignored = (CLUSTER / "docker" / "Dockerfile.dockerignore").read_text().splitlines()
    for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (PROJECT / source).exists()
            assert f"!{source}" in ignored
    image = {box["image"] for overlay in OVERLAYS for pod in pods(render(overlay)) for box in pod["containers"]}
    built = set(re.findall(r"-t (\S+) \.", text))
    assert {name for name in image if name.startswith("peace-ray")} <= built


def test_the_slurm_script(tmp_path: Path) -> None:
    """Linted, then run on stand-ins for Slurm's commands: the job's exit code, the token, and what is left."""
    path = CLUSTER / "slurm" / "peace.sbatch"
    assert subprocess.run([BIN / "shellcheck", path], capture_output=True, text=True).stdout == ""
    text = path.read_text()
    assert "RAY_AUTH_MODE=token" in text
    assert not re.search(r"ray stop|pkill|killall", text)
    stand_ins = {
        "scontrol": "printf 'one\\ntwo\\n'",
        # a step: drop srun's options, then run what is left
        "srun": 'while [ "${1#--}" != "$1" ]; do shift; done\nexec "$@"',
        "hostname": "echo 10.0.0.1",
        "ray": 'echo "ray $*" >> "$CALLS"; [ "$1" = status ] && exit 0; exec sleep 600',
        "peace": 'echo "peace $* $RAY_ADDRESS $(stat -c %a "$RAY_AUTH_TOKEN_PATH")" >> "$CALLS"; exit 7',
    }
    tools = tmp_path / "venv" / "bin"
    tools.mkdir(parents=True)
    for name, body in stand_ins.items():
        (tools / name).write_text(f"#!/bin/bash\n{body}\n")
        (tools / name).chmod(0o755)
    (tools / "activate").write_text(f"export PATH={tools}:$PATH\n")
    calls = tmp_path / "calls"
    environment = {
        "PATH": f"{BIN}:/usr/bin:/bin",
        "PEACE_VENV": str(tmp_path / "venv"),
        "CALLS": str(calls),
        "SLURM_JOB_ID": "77",
        "SLURM_JOB_NODELIST": "one,two",
        "SLURM_CPUS_PER_TASK": "4",
        "SLURM_SUBMIT_DIR": str(tmp_path),
    }
    words = ["bash", str(path), "demo", "--out", "x"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 7, done.stderr
    said = calls.read_text().splitlines()
    assert "peace demo --out x 10.0.0.1:20077 600" in said
    assert sum(line.startswith("ray start --head") for line in said) == 1
    assert not list(tmp_path.glob(".peace-slurm-*"))
    assert subprocess.run(words[:2], capture_output=True, timeout=60, env=environment).returncode == 2


def test_the_cloud_file_is_what_ray_up_takes() -> None:
    import jsonschema

    config = yaml.safe_load((CLUSTER / "cloud" / "aws.yaml").read_text())
    schema = json.loads((files("ray.autoscaler") / "ray-schema.json").read_text())
    jsonschema.validate(config, schema)
    with pytest.raises(jsonschema.ValidationError, match="max_wrkers"):
        jsonschema.validate({**config, "max_wrkers": 2}, schema)
    types = config["available_node_types"]
    assert types["head"]["resources"] == {"CPU": 0}
    assert "InstanceMarketOptions" not in types["head"]["node_config"]
    for name in ("cpu-spot", "gpu-spot"):
        assert types[name]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    rules = config["provider"]["security_group"]["IpPermissions"]
    assert [rule["FromPort"] for rule in rules] == [22]
    assert "0.0.0.0/0" not in str(rules)
    assert "--env=RAY_AUTH_MODE=token" in config["docker"]["run_options"]
    assert "--dashboard-host=127.0.0.1" in " ".join(config["head_start_ray_commands"])
