"""Who may call the model: a service account, its right to see the InferenceService, and its tokens (KSERVE.md 4).

The proxy lets through whoever may `get` the InferenceService. There are no ownerReferences: they hold a uid, which only
the cluster knows.
"""

from __future__ import annotations

from modelcar.kserve.resources.parts import DASHBOARD, Manifest, metadata
from modelcar.kserve.settle import Settled

_RBAC = "rbac.authorization.k8s.io"


def token_objects(settled: Settled) -> list[Manifest]:
    """ServiceAccount, Role, RoleBinding and a Secret for each token; none where no token is asked for."""
    if not settled.token_auth:
        return []
    account = f"{settled.name}-sa"
    role = f"{settled.name}-view-role"
    resource = "llminferenceservices" if settled.llm else "inferenceservices"
    rule = {
        "apiGroups": ["serving.kserve.io"],
        "resources": [resource],
        "resourceNames": [settled.name],
        "verbs": ["get"],
    }
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(settled, account)},
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "Role",
            "metadata": metadata(settled, role, DASHBOARD),
            "rules": [rule],
        },
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "RoleBinding",
            "metadata": metadata(settled, f"{settled.name}-view", DASHBOARD),
            "roleRef": {"apiGroup": _RBAC, "kind": "Role", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": account}],
        },
        *(_token(settled, account, display, name) for display, name in settled.tokens),
    ]


def _token(settled: Settled, account: str, display: str, name: str) -> Manifest:
    annotations = {"kubernetes.io/service-account.name": account, "openshift.io/display-name": display}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(settled, name, DASHBOARD, annotations),
        "type": "kubernetes.io/service-account-token",
    }
