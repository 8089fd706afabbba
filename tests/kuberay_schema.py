"""The fields of KubeRay's RayCluster and RayJob (ray.io/v1), written down from its API reference, v1.6 and v1.7.

What is Kubernetes' own inside of them is a reference into its schemas.
"""

from __future__ import annotations

from typing import Any

CORE = "/api/_definitions.json#/$defs/io.k8s.api.core.v1."
NAME: dict[str, Any] = {"type": "string"}
FLAG: dict[str, Any] = {"type": "boolean"}
COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
NUMBER: dict[str, Any] = {"type": "number", "minimum": 0}
WORDS: dict[str, Any] = {"type": "object", "additionalProperties": {"type": "string"}}


def core(name: str) -> dict[str, Any]:
    """One of Kubernetes' own types."""
    return {"$ref": CORE + name}


def many(item: dict[str, Any]) -> dict[str, Any]:
    """A list of it."""
    return {"type": "array", "items": item}


def one_of(*words: str) -> dict[str, Any]:
    """One of these words."""
    return {"enum": list(words)}


def record(required: tuple[str, ...] = (), **fields: dict[str, Any]) -> dict[str, Any]:
    """An object with these fields and no others."""
    return {"type": "object", "properties": fields, "additionalProperties": False, "required": list(required)}


CREDENTIAL = record(value=NAME, valueFrom=core("EnvVarSource"))
AUTHENTICATION = record(mode=one_of("token", "disabled"), secretName=NAME, enableK8sTokenAuth=FLAG)
AUTOSCALER = record(
    version=one_of("v1", "v2"),
    upscalingMode=one_of("Default", "Aggressive", "Conservative"),
    idleTimeoutSeconds=COUNT,
    image=NAME,
    imagePullPolicy=one_of("Always", "IfNotPresent", "Never"),
    resources=core("ResourceRequirements"),
    securityContext=core("SecurityContext"),
    env=many(core("EnvVar")),
    envFrom=many(core("EnvFromSource")),
    volumeMounts=many(core("VolumeMount")),
)
FAULT_TOLERANCE = record(
    ("redisAddress",),
    redisAddress=NAME,
    redisUsername=CREDENTIAL,
    redisPassword=CREDENTIAL,
    externalStorageNamespace=NAME,
)
HEAD = record(
    ("template",),
    template=core("PodTemplateSpec"),
    rayStartParams=WORDS,
    headService=core("Service"),
    serviceType=one_of("ClusterIP", "NodePort", "LoadBalancer"),
    enableIngress=FLAG,
    resources=WORDS,
    labels=WORDS,
)
WORKERS = record(
    ("groupName", "template"),
    groupName=NAME,
    template=core("PodTemplateSpec"),
    rayStartParams=WORDS,
    replicas=COUNT,
    minReplicas=COUNT,
    maxReplicas=COUNT,
    idleTimeoutSeconds=COUNT,
    numOfHosts=COUNT,
    suspend=FLAG,
    resources=WORDS,
    labels=WORDS,
    scaleStrategy=record(workersToDelete=many(NAME)),
)
CLUSTER_SPEC = record(
    ("headGroupSpec",),
    rayVersion=NAME,
    authOptions=AUTHENTICATION,
    enableInTreeAutoscaling=FLAG,
    autoscalerOptions=AUTOSCALER,
    gcsFaultToleranceOptions=FAULT_TOLERANCE,
    headGroupSpec=HEAD,
    workerGroupSpecs=many(WORKERS),
    headServiceAnnotations=WORDS,
    suspend=FLAG,
    managedBy=NAME,
)
JOB_SPEC = record(
    (),
    entrypoint=NAME,
    clusterSelector=WORDS,
    rayClusterSpec=CLUSTER_SPEC,
    runtimeEnvYAML=NAME,
    jobId=NAME,
    metadata=WORDS,
    submissionMode=one_of("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"),
    submitterPodTemplate=core("PodTemplateSpec"),
    submitterConfig=record(backoffLimit=COUNT),
    entrypointNumCpus=NUMBER,
    entrypointNumGpus=NUMBER,
    entrypointResources=NAME,
    backoffLimit=COUNT,
    activeDeadlineSeconds=COUNT,
    shutdownAfterJobFinishes=FLAG,
    ttlSecondsAfterFinished=COUNT,
    suspend=FLAG,
    managedBy=NAME,
)


def _kind(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    meta = {"$ref": "/api/_definitions.json#/$defs/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
    fields = {"apiVersion": one_of("ray.io/v1"), "kind": one_of(name), "metadata": meta, "spec": spec}
    return record(("apiVersion", "kind", "metadata", "spec"), **fields)


SCHEMAS = {"RayCluster": _kind("RayCluster", CLUSTER_SPEC), "RayJob": _kind("RayJob", JOB_SPEC)}
