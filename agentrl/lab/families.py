"""Tiny random models of many families: which of them trainer and engine compute exactly, and why others are refused.

``python -m agentrl.lab.families`` prints the tables in ``docs/models.md``.
"""

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
import transformers

from agentrl.engines.transformers import TransformersEngine
from agentrl.errors import ModelError
from agentrl.trainer.checks.soundness import check_soundness

VOCABULARY, WINDOW, CONTEXT = 64, 8, 128

_SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_OLD = {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "bos_token_id": 1, "eos_token_id": 2}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
_LOCAL_EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
_ROUTED = {"n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "first_k_dense_replace": 1}
_ROUTED |= {"n_group": 1, "topk_group": 1}
_SLIDING = {"sliding_window": WINDOW}
_LATE = {**_SLIDING, "use_sliding_window": True, "max_window_layers": 1}
_MIXED = {**_SLIDING, "layer_types": ["full_attention", "sliding_attention"]}
_CAPPED = {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 1.0, "query_pre_attn_scalar": 16}
_GRANITE = {"logits_scaling": 4.0, "attention_multiplier": 0.3, "embedding_multiplier": 3.0, "residual_multiplier": 0.5}
_MLA = {"num_key_value_heads": 4, "q_lora_rank": 16, "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8}
_HYBRID = {"layer_types": ["linear_attention", "full_attention"]}
_LINEAR = {"linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8}
_MAMBA = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8}
_LLAMA3 = {"rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
_LONG = {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0] * 4, "long_factor": [2.0] * 4}
_EIGHT = {"head_dim": 8}


@dataclass(frozen=True, slots=True)
class Family:
    """How to make a tiny model.

    Attributes:
      kind: name of its configuration, without "Config", in transformers.
      feature: what sets it apart.
      changes: of the sizes that all share; None removes one.
      sizes: that it is made of.
    """

    kind: str
    feature: str
    changes: dict[str, Any]
    sizes: dict[str, Any]

    def config(self) -> Any | None:
        """Return the configuration; None if the installed transformers does not know it."""
        kind = getattr(transformers, f"{self.kind}Config", None)
        values = {key: value for key, value in (self.sizes | self.changes).items() if value is not None}
        return None if kind is None else kind(**copy.deepcopy(values))


def _of(kind: str, feature: str = "", *changes: dict[str, Any], sizes: dict[str, Any] | None = None) -> Family:
    merged: dict[str, Any] = {}
    for change in changes:
        merged |= change
    return Family(kind, feature, merged, _SIZES if sizes is None else sizes)


_NO_GROUPS: dict[str, Any] = {"num_key_value_heads": None}

FAMILIES: dict[str, Family] = {
    "llama": _of("Llama"),
    "llama3": _of("Llama", "scaled rotation", {"rope_parameters": _LLAMA3 | {"original_max_position_embeddings": 64}}),
    "qwen2": _of("Qwen2", "biases in attention"),
    "qwen2-sliding": _of("Qwen2", "windows in later layers", _LATE),
    "qwen2_moe": _of("Qwen2Moe", "experts", _EXPERTS, {"shared_expert_intermediate_size": 16}),
    "qwen3": _of("Qwen3", "norms of queries and keys", _EIGHT),
    "qwen3-sliding": _of("Qwen3", "windows in later layers", _EIGHT, _LATE),
    "qwen3_moe": _of("Qwen3Moe", "experts", _EIGHT, _EXPERTS),
    "mistral": _of("Mistral", "windows", _SLIDING),
    "ministral": _of("Ministral", "windows in some layers", _EIGHT, _MIXED),
    "mixtral": _of("Mixtral", "experts", _LOCAL_EXPERTS),
    "gemma": _of("Gemma", "scaled embeddings", _EIGHT),
    "gemma2": _of("Gemma2", "windows, soft caps of scores and logits", _EIGHT, _SLIDING, _CAPPED),
    "gemma3": _of("Gemma3Text", "windows, two rotations", _EIGHT, _MIXED, {"query_pre_attn_scalar": 16}),
    "gpt_oss": _of("GptOss", "windows, sinks, experts", _EIGHT, _SLIDING, _LOCAL_EXPERTS),
    "olmo2": _of("Olmo2", "norms behind the blocks"),
    "olmo3": _of("Olmo3", "windows in some layers", _MIXED),
    "olmoe": _of("Olmoe", "experts", {"num_experts": 4, "num_experts_per_tok": 2}),
    "granite": _of("Granite", "scales of logits, scores, embeddings", _GRANITE),
    "granitemoe": _of("GraniteMoe", "scales, experts", _GRANITE, _LOCAL_EXPERTS),
    "cohere": _of("Cohere", "scale of logits, parallel blocks", {"logit_scale": 0.25}),
    "cohere2": _of("Cohere2", "scale of logits, windows", _EIGHT, _MIXED, {"logit_scale": 0.25}),
    "phi": _of("Phi", "bias of the head, partial rotation"),
    "phi3": _of("Phi3", "windows, fused projections", _SLIDING),
    "phimoe": _of("Phimoe", "experts, biases", _LOCAL_EXPERTS, {"lm_head_bias": True, "attention_bias": True}),
    "starcoder2": _of("Starcoder2", "windows, biases", _SLIDING),
    "gpt2": _of("GPT2", "learned positions", {"n_positions": 256}, sizes=_OLD),
    "gptj": _of("GPTJ", "bias of the head, partial rotation", {"n_positions": 256, "rotary_dim": 4}, sizes=_OLD),
    "codegen": _of("CodeGen", "bias of the head", {"n_positions": 256, "rotary_dim": 4}, sizes=_OLD),
    "gpt_bigcode": _of("GPTBigCode", "one KV head", {"n_positions": 256}, sizes=_OLD),
    "gpt_neox": _of("GPTNeoX", "partial rotation, parallel blocks", _NO_GROUPS),
    "persimmon": _of("Persimmon", "norms of queries and keys", _NO_GROUPS),
    "smollm3": _of("SmolLM3", "layers without positions", {"no_rope_layers": [1, 0]}),
    "glm": _of("Glm", "partial rotation", _EIGHT),
    "glm4": _of("Glm4", "norms around the blocks", _EIGHT),
    "glm4_moe": _of("Glm4Moe", "experts", _EIGHT, _ROUTED),
    "deepseek_v2": _of("DeepseekV2", "latent attention, experts", _MLA, _ROUTED, {"v_head_dim": 8}),
    "deepseek_v3": _of("DeepseekV3", "latent attention, experts", _MLA, _ROUTED, {"v_head_dim": 12}),
    "exaone4": _of("Exaone4", "windows in some layers", _MIXED),
    "ernie4_5": _of("Ernie4_5", "", _EIGHT),
    "hunyuan": _of("HunYuanDenseV1", "norms of queries and keys", _EIGHT),
    "seed_oss": _of("SeedOss", "", _EIGHT),
    "helium": _of("Helium", "", _EIGHT),
    "arcee": _of("Arcee", "squared ReLU"),
    "apertus": _of("Apertus", "xIELU"),
    "bitnet": _of("BitNet", "norms inside the blocks"),
    "diffllama": _of("DiffLlama", "difference of two attentions"),
    "nanochat": _of("NanoChat", "soft cap of logits"),
    "vaultgemma": _of("VaultGemma", "windows, soft caps", _EIGHT, _SLIDING, _CAPPED),
    "phi3-longrope": _of(
        "Phi3",
        "rotation that depends on the length",
        {"original_max_position_embeddings": 16, "rope_parameters": _LONG | {"original_max_position_embeddings": 16}},
    ),
    "hyperclovax": _of("HyperCLOVAX", "scale of logits under another's name", {"logits_scaling": 2.0}),
    "opt": _of("OPT", "learned positions", {"word_embed_proj_dim": 32, "ffn_dim": 48, "num_key_value_heads": None}),
    "stablelm": _of("StableLm", "partial rotation"),
    "nemotron": _of("Nemotron", "squared ReLU"),
    "gpt_neo": _of(
        "GPTNeo",
        "attention of its own",
        {"num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]], "window_size": WINDOW},
        sizes={key: _SIZES[key] for key in ("vocab_size", "hidden_size", "max_position_embeddings")},
    ),
    "falcon": _of(
        "Falcon",
        "attention of its own",
        {"alibi": False, "multi_query": False, "new_decoder_architecture": False, "num_key_value_heads": None},
    ),
    "bloom": _of("Bloom", "biases in place of positions", sizes=_OLD | {"n_embd": None, "hidden_size": 32}),
    "mpt": _of("Mpt", "biases in place of positions", sizes={"vocab_size": VOCABULARY, "d_model": 32, "n_layers": 2}),
    "doge": _of("Doge", "masks of its own"),
    "llama4": _of(
        "Llama4Text",
        "chunks",
        _EIGHT,
        {"attention_chunk_size": WINDOW, "num_local_experts": 4, "intermediate_size_mlp": 48},
        {"layer_types": ["chunked_attention", "full_attention"]},
    ),
    "mamba": _of(
        "Mamba", "states", {"state_size": 4}, sizes={"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2}
    ),
    "rwkv": _of("Rwkv", "states", sizes={"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2}),
    "bamba": _of("Bamba", "states in some layers", _MAMBA, {"attn_layer_indices": [1]}),
    "falcon_h1": _of("FalconH1", "states in all layers", _EIGHT, _MAMBA, {"mamba_d_ssm": 64}),
    "jamba": _of(
        "Jamba",
        "states in some layers, experts",
        {"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "expert_layer_offset": 1},
        {"num_experts": 4, "num_experts_per_tok": 2, "mamba_d_state": 4, "use_mamba_kernels": False},
    ),
    "granitemoehybrid": _of(
        "GraniteMoeHybrid", "states in some layers", _MAMBA, {"layer_types": ["mamba", "attention"]}
    ),
    "qwen3_next": _of(
        "Qwen3Next", "linear attention", _EIGHT, _HYBRID, _LINEAR, _EXPERTS, {"shared_expert_intermediate_size": 16}
    ),
    "qwen3_5": _of("Qwen3_5Text", "linear attention", {"head_dim": 16}, _HYBRID, _LINEAR),
    "minimax": _of("MiniMax", "linear attention", _EIGHT, _HYBRID, _LOCAL_EXPERTS, {"block_size": 16}),
    "lfm2": _of("Lfm2", "convolutions", {"layer_types": ["conv", "full_attention"]}),
}


def build(name: str) -> Any | None:
    """Return a random model of a family, in which every weight matters; None if transformers does not know it."""
    config = FAMILIES[name].config()
    if config is None:
        return None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(config).eval().float()
        with torch.no_grad():
            for weight in model.parameters():
                # what starts at 0 or 1 (biases, norms, sinks) would hide that it is left out
                weight.add_(torch.randn_like(weight) * (0.2 if weight.dim() > 1 else 0.4))
    return model


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a family.

    Attributes:
      trainer: largest difference from the model's own forward pass, nats; NaN if refused.
      engine: mean difference.
      reason: of the refusal; "" if it is exact.
    """

    trainer: float
    engine: float
    reason: str


def judge(model: Any) -> Verdict:
    """Compare trainer and engine with the model's own forward pass."""
    try:
        engine = TransformersEngine(model, None, max_sessions=2, max_context=CONTEXT)
        found = check_soundness(model, engine, max_context=CONTEXT)
    except ModelError as error:
        return Verdict(float("nan"), float("nan"), str(error))
    return Verdict(found["trainer"], found["engine"], "")


def table(names: Iterable[str]) -> str:
    """Return two tables of families in Markdown: the exact and the refused."""
    exact = ["| family | what sets it apart | trainer, largest | engine, mean |", "|---|---|---|---|"]
    refused = ["| family | what sets it apart | reason |", "|---|---|---|"]
    for name in names:
        model = build(name)
        if model is None:
            continue
        verdict, feature = judge(model), FAMILIES[name].feature
        if verdict.reason:
            refused.append(f"| {name} | {feature} | {verdict.reason.partition('; choose')[0]} |")
        else:
            exact.append(f"| {name} | {feature} | {verdict.trainer:.0e} | {verdict.engine:.0e} |")
    return "\n".join([*exact, "", *refused])


if __name__ == "__main__":
    print(table(FAMILIES))
