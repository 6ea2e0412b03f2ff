"""What a config.json leaves out: the defaults of transformers, by `model_type`.

transformers writes a configuration with only what differs from its class, so published files lack fields that decide
about memory: Gemma 3's has neither context length nor vocabulary, Mistral's may lack its window. Read from the classes
of transformers 5.24.0; a type that isn't here has no defaults, and what its file lacks is not known.
"""

from __future__ import annotations

from typing import NamedTuple


class Defaults(NamedTuple):
    """A configuration class's own values. 0 stands for none; without `kv` there are as many KV heads as heads."""

    layers: int = 0
    hidden: int = 0
    heads: int = 0
    kv: int = 0
    head_dim: int = 0
    context: int = 0
    window: int = 0
    vocab: int = 0
    tied: bool = False


DEFAULTS = {
    "afmoe": Defaults(32, 2048, 16, head_dim=128, context=16384, window=1024, vocab=200192),
    "apertus": Defaults(32, 4096, 32, context=65536, vocab=131072),
    "arcee": Defaults(32, 2560, 32, context=4096, vocab=32000),
    "bamba": Defaults(32, 4096, 32, kv=8, context=262144, vocab=128000),
    "bloom": Defaults(2, 64, 8, vocab=250880, tied=True),
    "codegen": Defaults(28, 4096, 16, context=2048, vocab=50400),
    "cohere": Defaults(40, 8192, 64, context=8192, vocab=256000, tied=True),
    "cohere2": Defaults(40, 8192, 64, context=8192, window=4096, vocab=256000, tied=True),
    "cwm": Defaults(64, 6144, 48, kv=8, head_dim=128, context=131072, window=8192, vocab=128256),
    "dbrx": Defaults(24, 2048, 16, kv=1, context=2048, vocab=32000),
    "deepseek_v2": Defaults(32, 4096, 32, head_dim=64, context=2048, vocab=102400),
    "deepseek_v3": Defaults(61, 7168, 128, kv=128, head_dim=64, context=4096, vocab=129280),
    "deepseek_v32": Defaults(61, 7168, 128, kv=128, head_dim=64, context=163840, vocab=129280),
    "dots1": Defaults(62, 4608, 32, kv=32, context=2048, window=4096, vocab=152064),
    "ernie4_5": Defaults(18, 1024, 16, kv=2, head_dim=128, context=131072, vocab=103424, tied=True),
    "ernie4_5_moe": Defaults(28, 2560, 20, kv=4, context=131072, vocab=103424, tied=True),
    "exaone4": Defaults(32, 4096, 32, kv=32, context=2048, window=4096, vocab=102400),
    "falcon": Defaults(32, 4544, 71, context=2048, vocab=65024, tied=True),
    "falcon_h1": Defaults(32, 4096, 32, kv=8, context=8192, vocab=128000),
    "falcon_mamba": Defaults(32, 768, 0, vocab=50280, tied=True),
    "flex_olmo": Defaults(32, 4096, 32, context=4096, vocab=100352),
    "gemma": Defaults(28, 3072, 16, kv=16, head_dim=256, context=8192, vocab=256000, tied=True),
    "gemma2": Defaults(26, 2304, 8, kv=4, head_dim=256, context=8192, window=4096, vocab=256000, tied=True),
    "gemma3_text": Defaults(26, 2304, 8, kv=4, head_dim=256, context=131072, window=4096, vocab=262208, tied=True),
    "gemma3n_text": Defaults(35, 2048, 8, kv=2, head_dim=256, context=32768, window=512, vocab=262400, tied=True),
    "gemma4_text": Defaults(30, 2304, 8, kv=4, head_dim=256, context=131072, window=512, vocab=262144, tied=True),
    "glm": Defaults(40, 4096, 32, kv=2, head_dim=128, context=131072, vocab=151552),
    "glm4": Defaults(40, 4096, 32, kv=2, head_dim=128, context=131072, vocab=151552),
    "glm4_moe": Defaults(46, 4096, 96, kv=8, context=131072, vocab=151552),
    "glm4_moe_lite": Defaults(47, 2048, 20, kv=20, context=202752, vocab=154880),
    "glm_moe_dsa": Defaults(78, 6144, 64, kv=64, head_dim=64, context=202752, vocab=154880),
    "gpt2": Defaults(12, 768, 12, context=1024, vocab=50257, tied=True),
    "gpt_bigcode": Defaults(12, 768, 12, kv=1, context=1024, vocab=50257, tied=True),
    "gpt_neo": Defaults(24, 2048, 0, context=2048, vocab=50257, tied=True),
    "gpt_neox": Defaults(44, 6144, 64, context=2048, vocab=50432),
    "gpt_oss": Defaults(36, 2880, 64, kv=8, head_dim=64, context=131072, window=128, vocab=201088),
    "gptj": Defaults(28, 4096, 16, context=2048, vocab=50400),
    "granite": Defaults(32, 4096, 32, context=2048, vocab=32000),
    "granitemoe": Defaults(32, 4096, 32, context=2048, vocab=32000),
    "granitemoehybrid": Defaults(32, 4096, 32, context=2048, vocab=32000),
    "granitemoeshared": Defaults(32, 4096, 32, context=2048, vocab=32000),
    "helium": Defaults(24, 2560, 20, kv=20, head_dim=128, context=4096, vocab=48000),
    "hunyuan_v1_dense": Defaults(32, 4096, 32, context=2048, vocab=290943),
    "hunyuan_v1_moe": Defaults(32, 4096, 32, context=2048, vocab=290943),
    "internlm3": Defaults(48, 4096, 32, kv=2, head_dim=128, context=32768, vocab=128512),
    "jamba": Defaults(32, 4096, 32, kv=8, context=262144, vocab=65536),
    "kimi_linear": Defaults(27, 2304, 32, kv=32, head_dim=64, vocab=163840),
    "lfm2": Defaults(32, 2560, 32, kv=8, context=128000, vocab=65536, tied=True),
    "lfm2_moe": Defaults(32, 2048, 32, kv=8, context=128000, vocab=65536, tied=True),
    "llama": Defaults(32, 4096, 32, context=2048, vocab=32000),
    "llama4_text": Defaults(48, 5120, 40, kv=8, head_dim=128, context=131072, vocab=202048),
    "longcat_flash": Defaults(28, 6144, 64, head_dim=64, context=131072, vocab=131072),
    "mamba": Defaults(32, 768, 0, vocab=50280, tied=True),
    "mamba2": Defaults(64, 4096, 0, vocab=32768),
    "minimax": Defaults(32, 4096, 32, kv=8, context=131072, vocab=32000),
    "minimax_m2": Defaults(62, 3072, 48, kv=8, head_dim=128, context=196608, vocab=200064),
    "ministral": Defaults(32, 4096, 32, kv=8, context=131072, window=4096, vocab=32000),
    "ministral3": Defaults(34, 4096, 32, kv=8, head_dim=128, context=262144, vocab=131072),
    "mistral": Defaults(32, 4096, 32, kv=8, context=131072, window=4096, vocab=32000),
    "mistral4": Defaults(36, 4096, 32, kv=32, head_dim=128, context=1048576, vocab=131072),
    "mixtral": Defaults(32, 4096, 32, kv=8, context=131072, vocab=32000),
    "mllama_text_model": Defaults(40, 4096, 32, kv=8, context=131072, vocab=128256),
    "mpt": Defaults(24, 2048, 16, context=2048, vocab=50368, tied=True),
    "nemotron": Defaults(32, 6144, 48, context=4096, vocab=256000),
    "nemotron_h": Defaults(0, 4096, 32, kv=8, head_dim=128, context=4096, vocab=131072),
    "olmo": Defaults(32, 4096, 32, context=2048, vocab=50304),
    "olmo2": Defaults(32, 4096, 32, context=2048, vocab=50304),
    "olmo3": Defaults(32, 4096, 32, context=2048, window=4096, vocab=50304),
    "olmoe": Defaults(16, 2048, 16, context=4096, vocab=50304),
    "opt": Defaults(12, 768, 12, context=2048, vocab=50272, tied=True),
    "persimmon": Defaults(36, 4096, 64, context=16384, vocab=262144),
    "phi": Defaults(24, 2048, 32, context=2048, vocab=51200),
    "phi3": Defaults(32, 3072, 32, context=4096, vocab=32064),
    "phimoe": Defaults(32, 4096, 32, kv=8, context=131072, vocab=32064),
    "qwen2": Defaults(32, 4096, 32, kv=32, context=32768, vocab=151936),
    "qwen2_5_vl_text": Defaults(80, 8192, 64, kv=8, context=32768, vocab=152064),
    "qwen2_moe": Defaults(24, 2048, 16, kv=16, context=32768, vocab=151936),
    "qwen2_vl_text": Defaults(80, 8192, 64, kv=8, context=32768, vocab=152064),
    "qwen3": Defaults(32, 4096, 32, kv=32, head_dim=128, context=32768, vocab=151936),
    "qwen3_5_moe_text": Defaults(40, 2048, 16, kv=2, head_dim=256, context=32768, vocab=248320),
    "qwen3_5_text": Defaults(32, 4096, 16, kv=4, head_dim=256, context=32768, vocab=248320),
    "qwen3_moe": Defaults(24, 2048, 32, kv=4, context=32768, vocab=151936),
    "qwen3_next": Defaults(48, 2048, 16, kv=2, head_dim=256, context=32768, vocab=151936),
    "qwen3_vl_moe_text": Defaults(24, 2048, 16, kv=16, context=128000, vocab=151936, tied=True),
    "qwen3_vl_text": Defaults(32, 4096, 32, kv=32, head_dim=128, context=128000, vocab=151936),
    "seed_oss": Defaults(64, 4096, 80, kv=8, head_dim=128, context=524288, vocab=155136),
    "smollm3": Defaults(36, 2048, 16, kv=4, context=32768, vocab=128256, tied=True),
    "solar_open": Defaults(48, 4096, 64, kv=8, head_dim=128, context=131072, vocab=196608),
    "stablelm": Defaults(32, 2560, 32, kv=32, context=4096, vocab=50304),
    "starcoder2": Defaults(30, 3072, 24, kv=2, context=4096, vocab=49152, tied=True),
    "vaultgemma": Defaults(26, 2304, 8, kv=4, head_dim=256, context=8192, window=4096, vocab=256000, tied=True),
    "zamba2": Defaults(54, 2560, 32, context=4096, vocab=32000, tied=True),
}

TEXT_TYPES = {
    "gemma3": "gemma3_text", "gemma3n": "gemma3n_text", "gemma4": "gemma4_text", "llama4": "llama4_text",
    "qwen2_vl": "qwen2_vl_text", "qwen2_5_vl": "qwen2_5_vl_text", "qwen3_vl": "qwen3_vl_text",
    "qwen3_vl_moe": "qwen3_vl_moe_text", "qwen3_5": "qwen3_5_text", "qwen3_5_moe": "qwen3_5_moe_text",
    "llava": "llama", "llava_next": "llama", "mistral3": "mistral", "pixtral": "mistral", "paligemma": "gemma",
    "kimi_vl": "deepseek_v3", "deepseek_vl_v2": "deepseek_v2", "internvl": "qwen2", "idefics3": "llama",
    "smolvlm": "llama", "aya_vision": "cohere2", "voxtral": "llama", "granite_speech": "granite", "glm4v": "glm4",
    "glm4v_moe": "glm4_moe",
}  # fmt: skip
"""The type of the language model inside a multimodal one, where its `text_config` names none."""
