"""Writes a small EXAONE 4 directory as a GGUF file, which llama.cpp reads. The names and keys are gguf's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
from safetensors.numpy import load_file


def write_gguf(directory: Path, file: Path) -> Path:
    """Convert the weights (float32), the tokenizer and the chat template; return the file."""
    config = json.loads((directory / "config.json").read_text())
    writer = gguf.GGUFWriter(file, "exaone4")
    writer.add_name(directory.name)
    _shape(writer, config)
    _tokenizer(writer, directory, config)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.EXAONE4, config["num_hidden_layers"])
    for shard in sorted(directory.glob("*.safetensors")):
        for name, values in load_file(shard).items():
            place = names.get_name(name, try_suffixes=(".weight", ".bias"))
            assert place is not None, name
            writer.add_tensor(place, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _shape(writer: Any, config: dict[str, Any]) -> None:
    head = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])


def _tokenizer(writer: Any, directory: Path, config: dict[str, Any]) -> None:
    made = json.loads((directory / "tokenizer.json").read_text(encoding="utf-8"))
    special = {each["id"] for each in made["added_tokens"]}
    tokens = sorted(made["model"]["vocab"], key=made["model"]["vocab"].__getitem__)
    kinds = [gguf.TokenType.CONTROL if number in special else gguf.TokenType.NORMAL for number in range(len(tokens))]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(pair) for pair in made["model"]["merges"]])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_pad_token_id(config["pad_token_id"])
    writer.add_add_bos_token(False)
    writer.add_chat_template((directory / "chat_template.jinja").read_text(encoding="utf-8"))
