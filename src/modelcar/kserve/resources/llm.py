"""The LLMInferenceService (KSERVE.md 5)."""

from __future__ import annotations

import shlex

from modelcar.kserve.resources.isvc import dashboard_annotations, environment
from modelcar.kserve.resources.parts import DASHBOARD, Manifest, metadata, switch, without_empty
from modelcar.kserve.settle import Settled

_ARGS = "VLLM_ADDITIONAL_ARGS"


def llm_inference_service(settled: Settled) -> Manifest:
    """The LLMInferenceService of a deployment.

    Its template is laid over the cluster's own, which starts vLLM by a shell: arguments go there as one variable,
    quoted for that shell.
    """
    assert settled.source is not None
    wish = settled.wish
    variables = dict(wish.env or {})
    if settled.args:
        variables[_ARGS] = " ".join([*filter(None, [variables.get(_ARGS)]), shlex.join(settled.args)])
    labels = {**DASHBOARD, "opendatahub.io/genai-asset": switch(bool(wish.genai_asset))}
    container = without_empty({"name": "main", "env": environment(variables), "resources": settled.resources})
    return {
        "apiVersion": f"serving.kserve.io/{settled.cluster.llm_api()}",
        "kind": "LLMInferenceService",
        "metadata": metadata(
            settled,
            settled.name,
            labels if settled.on_openshift else None,
            dashboard_annotations(settled) if settled.on_openshift else None,
        ),
        "spec": {
            "model": {"uri": settled.source.uri, "name": settled.name},
            "replicas": wish.replicas or 1,
            "router": {"scheduler": {}, "route": {}, "gateway": {}},
            "template": without_empty(
                {
                    "imagePullSecrets": [{"name": name} for name in settled.pull_secrets],
                    "containers": [container],
                }
            ),
        },
    }
