"""What `kubectl kustomize` makes of our overlays: resources, namespace and JSON patches, which is all that they use."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

KNOWN = {"apiVersion", "kind", "namespace", "resources", "patches"}
CLUSTER_WIDE = ("Namespace",)


def render(folder: Path) -> list[dict[str, Any]]:
    """The objects of a kustomization. Raises AssertionError for a feature that is not rendered here."""
    rules = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert set(rules) <= KNOWN, f"{folder}: {set(rules) - KNOWN}"
    objects: list[dict[str, Any]] = []
    for name in rules["resources"]:
        place = folder / name
        if place.is_dir():
            objects += render(place)
        else:
            objects += [copy.deepcopy(item) for item in yaml.safe_load_all(place.read_text())]
    for rule in rules.get("patches", []):
        changes = yaml.safe_load(rule["patch"] if "patch" in rule else (folder / rule["path"]).read_text())
        target = rule["target"]
        meant = [item for item in objects if matches(item, target)]
        assert len(meant) == 1, f"{folder}: {target} names {len(meant)} objects"
        for change in changes:
            apply(meant[0], change)
    if "namespace" in rules:
        for item in objects:
            if item["kind"] not in CLUSTER_WIDE:
                item["metadata"]["namespace"] = rules["namespace"]
    names = [(item["kind"], item["metadata"]["name"]) for item in objects]
    assert len(set(names)) == len(names), names
    return objects


def matches(item: dict[str, Any], target: dict[str, str]) -> bool:
    """Whether a patch means this object."""
    return item["kind"] == target["kind"] and item["metadata"]["name"] == target["name"]


def apply(item: dict[str, Any], change: dict[str, Any]) -> None:
    """One operation of RFC 6902: add or replace. Raises LookupError for a path that is not there."""
    assert set(change) == {"op", "path", "value"}, change
    assert change["op"] in ("add", "replace"), change
    *way, last = [part.replace("~1", "/").replace("~0", "~") for part in change["path"].split("/")[1:]]
    at: Any = item
    for part in way:
        at = at[int(part)] if isinstance(at, list) else at[part]
    value = copy.deepcopy(change["value"])
    if isinstance(at, list):
        if last == "-":
            at.append(value)
        elif change["op"] == "replace":
            at[int(last)] = value
        else:
            at.insert(int(last), value)
        return
    if change["op"] == "replace" and last not in at:
        raise KeyError(change["path"])
    at[last] = value
