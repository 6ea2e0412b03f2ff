"""File lists as real repositories of the Hub have them, and what a build should make of each.

Each line is a path; behind a `-` it is left out, and the words after `#` are part of the reason.
"""

from __future__ import annotations

REPOSITORIES = {
    "Llama 3.1, with Meta's own format": """
        - .gitattributes # hidden
        LICENSE
        README.md
        USE_POLICY.md
        config.json
        generation_config.json
        model-00001-of-00002.safetensors
        model-00002-of-00002.safetensors
        model.safetensors.index.json
        - original/consolidated.00.pth # the original format of weights that are there as safetensors
        - original/params.json # the original format
        - original/tokenizer.model # the original format
        special_tokens_map.json
        tokenizer.json
        tokenizer_config.json
    """,
    "Llama 2, both formats side by side": """
        LICENSE.txt
        - Responsible-Use-Guide.pdf # not needed
        config.json
        model-00001-of-00002.safetensors
        model-00002-of-00002.safetensors
        model.safetensors.index.json
        - pytorch_model-00001-of-00002.bin # a PyTorch copy
        - pytorch_model-00002-of-00002.bin # a PyTorch copy
        - pytorch_model.bin.index.json # the index of a PyTorch copy
        tokenizer.model
    """,
    "Meta's checkpoint beside the safetensors": """
        - consolidated.00.pth # a PyTorch copy
        - consolidated.01.pth # a PyTorch copy
        model.safetensors
        params.json
    """,
    "Mistral, with its own single file": """
        config.json
        - consolidated.safetensors # a second copy
        model-00001-of-00003.safetensors
        model-00002-of-00003.safetensors
        model-00003-of-00003.safetensors
        model.safetensors.index.json
        params.json
        tokenizer.model
        tokenizer.model.v3
    """,
    "Mistral Large, with its own shards": """
        - consolidated-00001-of-00051.safetensors # a second copy
        - consolidated-00051-of-00051.safetensors # a second copy
        - consolidated.safetensors.index.json # the index of a second copy
        model-00001-of-00051.safetensors
        model.safetensors.index.json
    """,
    "Ministral, in Mistral's own format only": """
        consolidated.safetensors
        params.json
        tekken.json
    """,
    "gpt-oss, with copies for Metal and in the original format": """
        LICENSE
        USAGE_POLICY
        chat_template.jinja
        config.json
        - metal/model.bin # a Metal copy
        model-00000-of-00002.safetensors
        model.safetensors.index.json
        - original/config.json # the original format
        - original/dtypes.json # the original format
        - original/model.safetensors # the original format
        tokenizer.json
    """,
    "DeepSeek V3, shards counted with six digits, own code": """
        LICENSE-CODE
        LICENSE-MODEL
        config.json
        configuration_deepseek.py
        - figures/benchmark.png # not needed
        - inference/NOTES.md # not needed
        inference/convert.py
        model-00001-of-000163.safetensors
        - pytorch_model-00001-of-000163.bin # a PyTorch copy
        modeling_deepseek.py
        model.safetensors.index.json
    """,
    "all-MiniLM, a sentence transformer with every export": """
        - .gitattributes # hidden
        1_Pooling/config.json
        README.md
        config.json
        config_sentence_transformers.json
        model.safetensors
        modules.json
        - onnx/model.onnx # an ONNX export
        - onnx/model_qint8_avx512.onnx # an ONNX export
        - openvino/openvino_model.bin # an OpenVINO export
        - openvino/openvino_model.xml # an OpenVINO export
        - pytorch_model.bin # a PyTorch copy
        - rust_model.ot # a Rust copy
        sentence_bert_config.json
        - tf_model.h5 # a TensorFlow copy
        tokenizer.json
        train_script.py
        vocab.txt
    """,
    "a sentence transformer whose dense part is in PyTorch's format only": """
        1_Pooling/config.json
        2_Dense/config.json
        2_Dense/pytorch_model.bin
        3_Dense/model.safetensors
        - 3_Dense/pytorch_model.bin # a PyTorch copy
        model.safetensors
        modules.json
        - pytorch_model.bin # a PyTorch copy
    """,
    "bge-m3: PyTorch and ONNX, nothing as safetensors": """
        - .DS_Store # hidden
        1_Pooling/config.json
        colbert_linear.pt
        - imgs/bm25.jpg # not needed
        onnx/model.onnx
        onnx/model.onnx_data
        pytorch_model.bin
        sentencepiece.bpe.model
        sparse_linear.pt
    """,
    "bert-base, every format at the root": """
        LICENSE
        config.json
        - coreml/fill-mask/float32_model.mlpackage/Data/com.apple.CoreML/weights/weight.bin # a Core ML export
        - flax_model.msgpack # a Flax copy
        - model.onnx # an ONNX export
        - model.onnx_data # an ONNX export
        model.safetensors
        - pytorch_model.bin # a PyTorch copy
        - rust_model.ot # a Rust copy
        - tf_model.h5 # a TensorFlow copy
        - saved_model/1/saved_model.pb # a TensorFlow copy
        vocab.txt
    """,
    "gpt2, exports of any name": """
        - 64-8bits.tflite # a TFLite export
        - 64.tflite # a TFLite export
        merges.txt
        model.safetensors
        - onnx/decoder_model.onnx # an ONNX export
    """,
    "BERT of TensorFlow 1": """
        - bert_model.ckpt.data-00000-of-00001 # a TensorFlow copy
        - bert_model.ckpt.index # a TensorFlow copy
        - bert_model.ckpt.meta # a TensorFlow copy
        model.safetensors
    """,
    "whisper": """
        added_tokens.json
        - flax_model.msgpack # a Flax copy
        generation_config.json
        merges.txt
        model.fp32-00001-of-00002.safetensors
        model.safetensors
        model.safetensors.index.fp32.json
        normalizer.json
        preprocessor_config.json
        - pytorch_model.bin # a PyTorch copy
        - pytorch_model.bin.index.fp32.json # the index of a PyTorch copy
        - pytorch_model.fp32-00001-of-00002.bin # a PyTorch copy
        vocab.json
    """,
    "Stable Diffusion XL, a pipeline": """
        LICENSE.md
        - comparison.png # not needed
        model_index.json
        scheduler/scheduler_config.json
        - sd_xl_base_1.0.safetensors # beside the parts of the pipeline
        - sd_xl_base_1.0_0.9vae.safetensors # beside the parts of the pipeline
        - v1-5-pruned.ckpt # beside the parts of the pipeline
        - text_encoder/flax_model.msgpack # a Flax copy
        text_encoder/model.fp16.safetensors
        - text_encoder/model.onnx # an ONNX export
        text_encoder/model.safetensors
        - text_encoder/openvino_model.bin # an OpenVINO export
        - text_encoder/openvino_model.xml # an OpenVINO export
        - text_encoder/pytorch_model.bin # a PyTorch copy
        - text_encoder/pytorch_model.fp16.bin # a PyTorch copy
        tokenizer/merges.txt
        - unet/diffusion_flax_model.msgpack # a Flax copy
        - unet/diffusion_pytorch_model.bin # a PyTorch copy
        - unet/diffusion_pytorch_model.fp16.bin # a PyTorch copy
        unet/diffusion_pytorch_model.fp16.safetensors
        unet/diffusion_pytorch_model.safetensors
        - unet/model.onnx # an ONNX export
        - unet/model.onnx_data # an ONNX export
        unet/diffusion_pytorch_model.non_ema.bin
        - unet/openvino_model.bin # an OpenVINO export
        vae/diffusion_pytorch_model.safetensors
    """,
    "a LoRA adapter and what its training left": """
        adapter_config.json
        - adapter_model.bin # a PyTorch copy
        adapter_model.safetensors
        - checkpoint-500/adapter_model.safetensors # state of the training
        - checkpoint-500/optimizer.pt # state of the training
        - last-checkpoint/rng_state_0.pth # state of the training
        - optimizer.pt # state of the training
        - runs/Mar01_host/events.out.tfevents.1709251200.host.1.0 # state of the training
        - scheduler.pt # state of the training
        tokenizer.json
        - trainer_state.json # state of the training
        - training_args.bin # state of the training
    """,
    "an adapter beside the model that it was merged into": """
        adapter_config.json
        adapter_model.safetensors
        merged-Q4_K_M.gguf
        pytorch_model-00001-of-00002.bin
        pytorch_model-00002-of-00002.bin
        pytorch_model.bin.index.json
    """,
    "checkpoints only": """
        checkpoint-1000/config.json
        checkpoint-1000/model.safetensors
        - checkpoint-1000/optimizer.pt # state of the training
    """,
    "LLaVA, with a projector in PyTorch's format only": """
        config.json
        mm_projector.bin
        model-00001-of-00002.safetensors
        model-00002-of-00002.safetensors
        model.safetensors.index.json
    """,
    "own code, tokenizer and templates": """
        additional_chat_templates/tool_use.jinja
        chat_template.jinja
        chat_template.json
        configuration_x.py
        - demo.ipynb # not needed
        - finetune.sh # not needed
        kernels/cache.cu
        model.safetensors
        modeling_x.py
        processing_x.py
        qwen.tiktoken
        requirements.txt
        speaker_embeddings.npz
        tokenization_x.py
        tokenizer.model
    """,
    "a tagger that needs its table of labels": """
        - index.html # not needed
        model.onnx
        selected_tags.csv
    """,
    "licences and cards by any name": """
        - CHANGELOG.md # not needed
        COPYING
        Gemma-TERMS-of-use.pdf
        MODEL_CARD.md
        MODEL_LICENSE.pdf
        Notice.txt
        README.md
        acceptable_use_policy.md
        model.safetensors
    """,
    "GGUF only, one split model with its projector": """
        README.md
        mmproj-model-f16.gguf
        model-Q8_0-00001-of-00003.gguf
        model-Q8_0-00002-of-00003.gguf
        model-Q8_0-00003-of-00003.gguf
    """,
    "GGUF beside the safetensors": """
        config.json
        - gemma-7b.gguf # a GGUF copy
        - gguf/gemma-7b-Q4_K_M.gguf # a GGUF copy
        - gguf/gemma-7b-Q8_0.gguf # a GGUF copy
        model.safetensors
    """,
    "scikit-learn": """
        config.json
        model.pkl
    """,
}


def cases() -> list[tuple[str, list[str], dict[str, str]]]:
    """Name, the paths that stay and the others with their reasons."""
    return [(name, *_parsed(text)) for name, text in REPOSITORIES.items()]


def _parsed(text: str) -> tuple[list[str], dict[str, str]]:
    kept, left_out = [], {}
    for line in filter(None, map(str.strip, text.splitlines())):
        path, _, reason = line.partition(" # ")
        if path.startswith("- "):
            left_out[path.removeprefix("- ")] = reason
        else:
            kept.append(path)
    return kept, left_out
