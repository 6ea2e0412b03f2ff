"""Which of vLLM's parsers reads the tool calls of a model (vLLM's docs, "Tool Calling"; its `tool_parsers`)."""

from __future__ import annotations

from modelcar.kserve.versions import Version
from modelcar.model import Architecture, Facts

_EARLY, _LATER = Version(0, 9), Version(0, 11)
"""Versions in whose list the parsers were seen; some are older."""

_PARSERS = {
    "glm4_moe": ("glm45", _LATER),
    "gpt_oss": ("openai", _LATER),
    "granite": ("granite", _EARLY),
    "granitemoe": ("granite", _EARLY),
    "hunyuan_v1_moe": ("hunyuan_a13b", _LATER),
    "internlm2": ("internlm", _EARLY),
    "jamba": ("jamba", _EARLY),
    "kimi_k2": ("kimi_k2", _LATER),
    "llama4_text": ("llama4_pythonic", _EARLY),
    "mistral": ("mistral", _EARLY),
    "qwen2": ("hermes", _EARLY),
    "qwen3": ("hermes", _EARLY),
    "seed_oss": ("seed_oss", _LATER),
}
"""Types whose models all speak one format. Left out are those of several: Qwen3's mixtures, DeepSeek's, Granite 4."""

_LLAMA_3_WORDS, _LLAMA_3_1_CONTEXT = 128_256, 131_072
"""What tells Llama 3.1 and later from all else that calls itself llama."""


def parser_for(facts: Facts, vllm: Version | None) -> tuple[str, str]:
    """The parser of a model's tool calls, or why there is none: one of the two is empty.

    Args:
        facts: Of the model.
        vllm: Version in the runtime, None where it isn't known.
    """
    found = _known(facts.architecture) if facts.architecture else None
    if facts.chat_template is None:
        return "", "the model has no chat template, and without one there are no tool calls"
    if found is None:
        return "", "which parser reads this model's tool calls is not known: name it with --args=--tool-call-parser=…"
    name, since = found
    if vllm is None:
        has = f"from {since} on it has --tool-call-parser={name}"
        return "", f"the runtime's vLLM version is not known; {has}: --vllm-version says which it is"
    if vllm < since:
        return "", f"--tool-call-parser={name} needs vLLM {since}, and the runtime has {vllm}"
    return name, ""


def _known(architecture: Architecture) -> tuple[str, Version] | None:
    if (
        architecture.model_type == "llama"
        and architecture.vocabulary == _LLAMA_3_WORDS
        and (architecture.context or 0) >= _LLAMA_3_1_CONTEXT
    ):
        return "llama3_json", _EARLY
    return _PARSERS.get(architecture.model_type)
