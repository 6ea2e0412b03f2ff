"""The InferenceService (KSERVE.md 2, 4 and 4a)."""

from __future__ import annotations

from modelcar.kserve.amounts import device_count
from modelcar.kserve.resources.parts import (
    DASHBOARD,
    SHM_MOUNT,
    Manifest,
    metadata,
    shm_volume,
    switch,
    without_empty,
)
from modelcar.kserve.runtimes import spelled_args
from modelcar.kserve.settle import Settled, replica_bounds
from modelcar.kserve.versions import Flavor, Mode

_ISTIO = (
    "serving.knative.openshift.io/enablePassthrough",
    "sidecar.istio.io/inject",
    "sidecar.istio.io/rewriteAppHTTPProbers",
)
_STRATEGIES = {"rolling": "RollingUpdate", "recreate": "Recreate"}
_MODEL_CLASSES = {
    "sklearn": "mlserver_sklearn.SKLearnModel",
    "xgboost": "mlserver_xgboost.XGBoostModel",
    "lightgbm": "mlserver_lightgbm.LightGBMModel",
    "mlflow": "mlserver_mlflow.MLflowRuntime",
    "onnx": "mlserver_onnx.OnnxModel",
}
"""MLServer's own names of what loads a format: those that KServe's webhook writes (pkg/constants);
for ONNX, which OpenShift AI's MLServer has besides, opendatahub-io/MLServer, runtimes/onnx."""


def inference_service(settled: Settled) -> Manifest:
    """The InferenceService of a deployment."""
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": metadata(settled, settled.name, _labels(settled), _annotations(settled)),
        "spec": {"predictor": _predictor(settled)},
    }


def dashboard_annotations(settled: Settled) -> dict[str, str | None]:
    """What the 3.x dashboard and its webhooks read of a deployment of either kind."""
    wish = settled.wish
    profile, _, namespace = (wish.hardware_profile or "").partition("/")
    return {
        "openshift.io/display-name": settled.display_name,
        "openshift.io/description": wish.description,
        "opendatahub.io/model-type": settled.model_type,
        "opendatahub.io/connections": settled.connection.name if settled.connection else None,
        "opendatahub.io/connection-path": wish.connection_path,
        "opendatahub.io/hardware-profile-name": profile or None,
        "opendatahub.io/hardware-profile-namespace": namespace or None,
        "opendatahub.io/genai-use-case": wish.genai_use_case,
        "security.opendatahub.io/enable-auth": "true" if settled.token_auth else "false",
        "security.opendatahub.io/auth-proxy-type": "kube-rbac-proxy" if wish.return_401 else None,
    }


def shared_memory_in_predictor(settled: Settled) -> bool:
    """Whether the InferenceService brings the shared memory of several GPUs: where no runtime of ours can."""
    runtime = settled.runtime
    return device_count(settled.resources) > 1 and runtime is not None and runtime.spec is None and not runtime.shipped


def wants_model_class(settled: Settled) -> bool:
    """Whether the runtime is an MLServer, which reads from a label what loads the model."""
    runtime = settled.runtime
    return runtime is not None and (
        "{{.Labels.modelClass}}" in str(runtime.spec) or (runtime.shipped and runtime.name == "kserve-mlserver")
    )


def _labels(settled: Settled) -> dict[str, str | None]:
    wish, flavor = settled.wish, settled.cluster.flavor
    labels: dict[str, str | None] = {}
    if settled.on_openshift:
        labels.update(DASHBOARD)
        serverless = flavor is Flavor.OPENSHIFT_AI_2 and settled.mode is Mode.KNATIVE
        if serverless and not wish.route:
            labels["networking.knative.dev/visibility"] = "cluster-local"
        if not serverless and wish.route:
            labels["networking.kserve.io/visibility"] = "exposed"
        labels["opendatahub.io/genai-asset"] = switch(bool(wish.genai_asset))
    if wants_model_class(settled):
        labels["modelClass"] = _MODEL_CLASSES.get(settled.format[0])
    return labels


def _annotations(settled: Settled) -> dict[str, str | None]:
    mode = {"serving.kserve.io/deploymentMode": settled.cluster.spelled(settled.mode) if settled.mode else None}
    if not settled.on_openshift:
        return mode
    if settled.on_three:
        # The form writes an empty description too.
        return {**dashboard_annotations(settled), "openshift.io/description": settled.wish.description or "", **mode}
    return {
        "openshift.io/display-name": settled.display_name,
        **mode,
        **dict.fromkeys(_ISTIO, switch(settled.mode is Mode.KNATIVE)),
        "security.opendatahub.io/enable-auth": switch(settled.token_auth),
    }


def _predictor(settled: Settled) -> Manifest:
    wish = settled.wish
    low, high = replica_bounds(wish, 1 if settled.on_openshift else None)
    strategy = wish.deployment_strategy or ("rolling" if settled.on_three and settled.mode is not Mode.KNATIVE else "")
    shared = shared_memory_in_predictor(settled)
    return without_empty(
        {
            "annotations": without_empty({"serving.knative.dev/progress-deadline": settled.progress_deadline}),
            "imagePullSecrets": [{"name": name} for name in settled.pull_secrets],
            "minReplicas": low,
            "maxReplicas": high,
            "timeout": wish.timeout if wish.timeout is not None or not settled.on_three else 30,
            "deploymentStrategy": without_empty({"type": _STRATEGIES.get(strategy)}),
            "model": _model(settled, shared),
            "volumes": [shm_volume()] if shared else [],
        }
    )


def _model(settled: Settled, shared: bool) -> Manifest:
    assert settled.runtime is not None
    name, version = settled.format
    by_connection = settled.connection is not None and settled.connection.kind == "s3"
    storage = None
    if by_connection and settled.connection and not settled.on_three:
        storage = {"key": settled.connection.name, "path": settled.wish.connection_path}
    return without_empty(
        {
            "modelFormat": without_empty({"name": name, "version": version}),
            "runtime": settled.runtime.name or settled.name,
            "storageUri": settled.source.uri if settled.source else None,
            "storage": storage,
            "args": list(spelled_args(settled.args, settled.runtime)),
            "env": environment(settled.wish.env or {}),
            "resources": settled.resources,
            "volumeMounts": [SHM_MOUNT] if shared else [],
        }
    )


def environment(variables: dict[str, str]) -> list[Manifest]:
    """Variables as a container lists them."""
    return [{"name": name, "value": value} for name, value in variables.items()]
