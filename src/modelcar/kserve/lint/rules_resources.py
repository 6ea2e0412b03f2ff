"""GPUs, shared memory, requests and limits, replicas."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache

from modelcar.kserve.lint.document import QUOTED, Node
from modelcar.kserve.lint.findings import Edit, Report
from modelcar.kserve.lint.service import Container, Service, count_in, is_gpu, is_vllm, volumes_of
from modelcar.kserve.names import is_resource
from modelcar.kserve.quantity import is_quantity, parse_quantity

_TENSOR = ("--tensor-parallel-size", "-tp")
_PIPELINE = ("--pipeline-parallel-size", "-pp")
_OTHERS = (*_PIPELINE, "--data-parallel-size", "-dp")
_MEDIUM = re.compile(r"Memory|HugePages(?:-\w+)?")
_WITH_SHM = frozenset({"kserve-vllmserver", "kserve-huggingfaceserver"})
"""KServe's own runtimes that mount shared memory (config/runtimes)."""


def check_gpus(service: Service, report: Report) -> None:
    """The number of GPUs against vLLM's arguments and shared memory."""
    servers = service.servers
    found = next((gpus for server in servers if (gpus := server.gpus) is not None), None)
    tensor = service.option_value(*_TENSOR)
    parallelism = service.item.node.at("spec", "parallelism") if service.llm else None
    if parallelism is not None and tensor is None:
        own = parallelism.get("tensor")
        tensor = (own or parallelism, own.text if own else "")
    size = count_in(tensor[1]) if tensor else None
    worker = _worker(service) if tensor is None and found and found[2] > 1 else None
    if worker is not None:
        _idle_workers(worker, found, report)
    elif tensor is not None and size is not None:
        _against(service, found[2] if found else 0, tensor[0], size, report)
    elif found and found[2] > 1 and tensor is None and not service.option_value(*_OTHERS) and is_vllm(service):
        message = f"{found[2]} GPUs, and no --tensor-parallel-size: vLLM uses one"
        fix = f"spec.parallelism.tensor: {found[2]}" if service.llm else f"--tensor-parallel-size={found[2]}"
        report.add("gpu-idle", found[0], message, f"add {fix}")
    if found and found[2] > 1 and _talks(service) and not _has_shm(service):
        report.add("gpu-shm", found[0], f"{found[2]} GPUs, and nothing is mounted at /dev/shm")


def check_makers(service: Service, report: Report) -> None:
    """Accelerators of two makers in one container: no node has both. KServe adds the runtime's to the model's."""
    amounts = [part for server in service.servers for part in (server.limits, server.requests)]
    names = [*filter(is_gpu, set().union(*amounts))]
    if len(names) < 2:
        return
    found: dict[str, tuple[Node, str]] = {}
    for part in amounts:
        for name, (key, value) in part.items():
            if name in names and (_amount(value.text) or 0) > 0:
                found.setdefault(_maker(name), (key, name))
    if len(found) > 1:
        listed = [name for _, name in found.values()]
        place = next(iter(found.values()))[0]
        report.add("gpu-kinds", place, f"{' and '.join(listed)} in one container", f"keep one of {', '.join(listed)}")


def _maker(name: str) -> str:
    """The company in front of an accelerator's name: `intel` of `gpu.intel.com/i915`."""
    return name.partition("/")[0].split(".")[-2]


def _against(service: Service, gpus: int, node: Node, size: int, report: Report) -> None:
    if _profile(service):
        return
    stages = 1 if _has_workers(service) else service.option_number(*_PIPELINE) or 1
    if size * stages > max(gpus, 1):
        has = f"the Pod has {gpus} GPU{'s' * (gpus != 1)}" if gpus else "the Pod asks for no GPU"
        times = f", --pipeline-parallel-size {stages}" if stages > 1 else ""
        report.add(
            "gpu-tensor-parallel",
            node,
            f"--tensor-parallel-size is {size}{times}, and {has}",
            f"ask for {size * stages}, in requests and limits",
        )
    elif size < gpus and not service.option_value(*_OTHERS):
        report.add("gpu-idle", node, f"--tensor-parallel-size is {size}, and the Pod has {gpus} GPUs")


def _idle_workers(worker: Node, found: tuple[Node, str, int] | None, report: Report) -> None:
    """Over several nodes KServe takes the size from `workerSpec`, 1 where it isn't said."""
    own = worker.get("tensorParallelSize")
    text = own.text if own else "1"
    size = count_in(text)
    if found and size is not None and size < found[2]:
        message = f"workerSpec.tensorParallelSize is {text}, and each Pod has {found[2]} GPUs"
        report.add("gpu-idle", own or found[0], message, f"write tensorParallelSize: {found[2]} in workerSpec")


def _worker(service: Service) -> Node | None:
    """The `workerSpec` of a service or its runtime."""
    specs = (service.predictor, service.runtime.item.node.get("spec") if service.runtime else None)
    return next((found for spec in specs if spec is not None and (found := spec.get("workerSpec")) is not None), None)


def _has_workers(service: Service) -> bool:
    """Whether other Pods bring GPUs too."""
    return _worker(service) is not None or (service.llm and service.item.node.at("spec", "worker") is not None)


def _talks(service: Service) -> bool:
    """Whether the server's GPUs talk to each other: vLLM's do, by NCCL."""
    if is_vllm(service) or service.option_value(*_TENSOR):
        return True
    if service.format_name == "huggingface":
        return True
    if service.predictor is not None and service.predictor.get("huggingface") is not None:
        return True
    return any("vllm" in word for server in service.servers for word, _ in server.words)


def _profile(service: Service) -> bool:
    """Whether a hardware profile brings the GPUs: then what is written here isn't all."""
    named = service.item.meta("annotations", "opendatahub.io/hardware-profile-name") is not None
    return named and not any(server.gpus for server in service.servers)


def _has_shm(service: Service) -> bool:
    if service.llm:
        return True  # its base configuration, kserve-config-llm-template, mounts it
    if service.runtime_name is not None and service.runtime_name.text in _WITH_SHM and service.runtime is None:
        return True
    return any(server.mounts_shm for server in service.servers)


def check_amounts(service: Service, report: Report) -> None:
    """Requests against limits, in each container."""
    server = service.server
    own = [server] if server and server.node is service.model else []
    for container in [*service.containers, *own, *service.others]:
        check_container(container, report)


def check_container(container: Container, report: Report) -> None:
    """A container's requests against its limits."""
    limits, requests = container.limits, container.requests
    for name, (key, value) in {**requests, **limits}.items():
        if not is_resource(name) and "${" not in name:
            fix = "write nvidia.com/gpu, or what the nodes call it" if "gpu" in name.lower() else ""
            report.add("resource-name", key, f"Kubernetes has no resource {name[:80]!r}", fix)
        elif is_gpu(name) and (amount := _amount(value.text)) is not None and amount != amount.to_integral_value():
            report.add("bad-quantity", value, f"{name}: {value.text!r}: devices are counted whole", "write 1 or more")
    for name, (key, value) in requests.items():
        limit = limits.get(name)
        if limit is not None and limit[1].text == value.text:
            continue
        if is_gpu(name):
            if limit is None or _amount(limit[1].text) != _amount(value.text):
                has = f"limits say {limit[1].text}" if limit else "limits say nothing"
                report.add("gpu-limits", key, f"requests say {value.text} of {name}, and {has}")
        elif limit is not None:
            asked, most = _amount(value.text), _amount(limit[1].text)
            if asked is not None and most is not None and asked > most:
                report.add(
                    "request-over-limit",
                    value,
                    f"the request of {value.text} {name} is over the limit, {limit[1].text}",
                )


@lru_cache(1024)
def _amount(text: str) -> Decimal | None:
    return parse_quantity(text, "") if is_quantity(text) else None


def check_replicas(service: Service, report: Report) -> None:
    """The least against the most replicas, in each component."""
    spec = service.item.node.get("spec")
    for name in ("predictor", "transformer", "explainer", "scaling"):
        part = spec.get(name) if spec else None
        if part is None:
            continue
        least, most = _replicas(part, "minReplicas"), _replicas(part, "maxReplicas")
        for found in (least, most):
            if found is not None and found[1] < 0:
                report.add("replicas-negative", found[0], f"{found[1]} replicas: none are the least")
        if least is not None and most is not None and least[1] > most[1] > 0:
            report.add("min-over-max", least[0], f"minReplicas is {least[1]}, and maxReplicas {most[1]}")


def _replicas(part: Node, bound: str) -> tuple[Node, int] | None:
    node = part.get(bound)
    number = node.integer if node else None
    return None if node is None or number is None else (node, number)


def check_volumes(service: Service, report: Report) -> None:
    """Volumes that containers mount against those that there are."""
    check_media(service.predictor, report)
    if service.llm or service.item.patch or service.predictor is None:
        return
    if service.runtime_name is not None and service.runtime is None:
        return  # it may bring them
    places = [*(container.node for container in service.containers), *([service.model] if service.model else [])]
    mounts = [
        name
        for place in places
        if (listed := place.get("volumeMounts")) is not None
        for mount in listed.elements()
        if (name := mount.get("name")) is not None
    ]
    if not mounts:
        return
    known = volumes_of(service.predictor) | (service.runtime.volumes if service.runtime else frozenset())
    for name in mounts:
        if name.text not in known and "${" not in name.text:
            report.add("volume-missing", name, f"there is no volume {name.text!r}", "add it below predictor.volumes")


def check_media(pod: Node | None, report: Report) -> None:
    """The media of a Pod's emptyDirs."""
    listed = pod.get("volumes") if pod else None
    for volume in listed.elements() if listed else ():
        found = volume.at("emptyDir", "medium")
        if found is None or not found.string or "${" in found.text or _MEDIUM.fullmatch(found.text):
            continue
        near = next((word for word in ("Memory", "HugePages") if word.lower() == found.text.lower()), "")
        document, node = found.document, found.index
        whole = near and document.kinds[node] <= QUOTED
        edit = Edit(found.start, found.end, document.rewritten(node, near)) if whole else None
        message = f"Kubernetes has no medium {found.text[:60]!r}"
        report.add("volume-medium", found, message, f"write {near or 'Memory, or take it out'}", edit)
