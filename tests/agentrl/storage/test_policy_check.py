"""Folders that are no whole policy are refused, with what is missing; foreign folders that are whole are not."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from agentrl.errors import DataError
from agentrl.policy import build_model, load_policy, save_policy
from agentrl.storage.manifest import MANIFEST
from agentrl.storage.policy_check import check_policy_folder
from tests.agentrl.rollout.toys import byte_tokenizer

Damage = Callable[[Path], None]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    tokenizer = byte_tokenizer()
    save_policy(tmp_path / "policy", build_model(tokenizer, hidden_size=16, num_layers=2, num_heads=2), tokenizer)
    return tmp_path / "policy"


@pytest.fixture
def foreign(saved: Path) -> Path:
    """A folder that another program wrote: without checksums."""
    (saved / MANIFEST).unlink()
    return saved


def weights(change: Callable[[dict[str, Any]], Any]) -> Damage:
    def damage(folder: Path) -> None:
        tensors = dict(load_file(folder / "model.safetensors"))
        change(tensors)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    return damage


def settings(name: str, **changes: Any) -> Damage:
    def damage(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return damage


def larger_tokenizer(folder: Path) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens(["north", "south"])
    tokenizer.save_pretrained(folder)


def without(name: str) -> Damage:
    return lambda folder: (folder / name).unlink()


UP, EMBEDDING = "model.layers.1.mlp.up_proj.weight", "model.embed_tokens.weight"
DAMAGES: dict[str, tuple[Damage, str]] = {
    "a weight": (weights(lambda w: w.pop(UP)), f"is incomplete: {UP} is missing and would be random"),
    "a layer": (
        weights(lambda w: [w.pop(name) for name in list(w) if ".layers.1." in name]),
        r"is incomplete: 11 weights \(model.layers.1.input_layernorm.weight, .*, …\) are missing",
    ),
    "tied embedding": (weights(lambda w: w.pop(EMBEDDING)), r"lm_head.weight, model.embed_tokens.weight\) are missing"),
    "head, not tied": (settings("config.json", tie_word_embeddings=False), "is incomplete: lm_head.weight is missing"),
    "shape": (weights(lambda w: w.update({UP: torch.zeros(3, 3)})), rf"{UP} has the shape \[3, 3\], by config.json"),
    "a layer too many": (
        settings("config.json", num_hidden_layers=1, layer_types=["full_attention"]),
        r"11 weights \(model.layers.1.*\) are left over, with no place in a Qwen3ForCausalLM",
    ),
    "bias of the head": (weights(lambda w: w.update({"lm_head.bias": torch.zeros(266)})), "lm_head.bias is left over"),
    "NaN": (weights(lambda w: w[UP][2].fill_(torch.nan)), f"{UP} holds NaN or infinity: the training .* diverged"),
    "infinity": (weights(lambda w: w[EMBEDDING][2, 3].fill_(-torch.inf)), "embed_tokens.weight holds NaN or infinity"),
    "larger tokenizer": (larger_tokenizer, r"2 of its tokens, the first 'north' \(266\), have no row among 266"),
    "new end of text": (
        settings("tokenizer_config.json", eos_token="<eos>"),
        r"the first '<eos>' \(266\), have no row",
    ),
    "end beyond": (settings("config.json", eos_token_id=[3, 400]), "eos_token_id 400 of config.json has no row"),
    "tokenizer_config.json": (without("tokenizer_config.json"), "tokenizer_config.json, which says what is a special"),
    "tokenizer.json": (without("tokenizer.json"), "a model without a tokenizer: tokenizer.json is missing"),
    "chat template": (without("chat_template.jinja"), "has no chat template: set tokenizer.chat_template"),
    "model.safetensors": (without("model.safetensors"), "holds no weights: model.safetensors is missing; copy it too"),
    "pickled weights": (
        lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin") and None,
        "pickled weights can run code and are not read: save them as safetensors",
    ),
    "code of its own": (
        settings(
            "config.json", model_type="own", auto_map={"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Own"}
        ),
        "cannot load a policy from .* custom code",
    ),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=list(DAMAGES))
def test_what_is_not_whole_is_refused(
    foreign: Path, damage: Damage, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    load_policy(str(foreign))
    damage(foreign)
    with pytest.raises(DataError, match=message) as caught:
        load_policy(str(foreign))
    assert "\n" not in str(caught.value) and capfd.readouterr() == ("", ""), "one line is all that is said"


def test_parts_that_a_language_model_does_not_have_may_stay(foreign: Path) -> None:
    """As in models that also see: their eyes, further heads, and the tokens of pictures."""
    extra = {"visual.patch.weight": torch.ones(2), "model.visual.norm.bias": torch.ones(2)}
    weights(lambda w: w.update(extra))(foreign)
    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<picture>"]})
    tokenizer.save_pretrained(foreign)
    load_policy(str(foreign))
    tokenizer.chat_template = "<picture>" + tokenizer.chat_template
    tokenizer.save_pretrained(foreign)
    with pytest.raises(DataError, match="the first '<picture>'"):
        load_policy(str(foreign))


def test_a_changed_byte_of_any_file_is_found(saved: Path) -> None:
    load_policy(str(saved))
    names = sorted(path.name for path in saved.iterdir())
    assert {"model.safetensors", "tokenizer.json", "config.json", "chat_template.jinja", MANIFEST} <= set(names)
    for name in names:
        content = (saved / name).read_bytes()
        for place in (0, len(content) // 2, len(content) - 1):
            flipped = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
            (saved / name).write_bytes(flipped)
            with pytest.raises(DataError, match=MANIFEST):
                load_policy(str(saved))
        (saved / name).write_bytes(content)
    settings("generation_config.json", temperature=0.5)(saved)
    with pytest.raises(DataError, match=r"generation_config\.json .* if that is on purpose, remove"):
        load_policy(str(saved))
    (saved / MANIFEST).unlink()
    load_policy(str(saved))


def test_saving_again_replaces_the_whole_folder(saved: Path) -> None:
    (saved / "model-00002.safetensors").write_bytes(b"left over")
    tokenizer = byte_tokenizer()
    save_policy(saved, build_model(tokenizer, hidden_size=16, num_layers=1, num_heads=2), tokenizer)
    assert load_policy(str(saved))[0].config.num_hidden_layers == 1
    assert [path.name for path in saved.parent.iterdir()] == ["policy"]
    assert not (saved / "model-00002.safetensors").exists()


@pytest.mark.parametrize(
    "path", ["./nowhere", "/no/where", "~/model", "model", "a/b/c", "", "\0", "/x" * 3000, "a" * 300]
)
def test_paths_that_lead_nowhere(path: str) -> None:
    with pytest.raises(DataError, match="neither an existing folder nor a hub name"):
        check_policy_folder(path)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(DataError, match="is a file: a policy is a folder"):
        check_policy_folder(str(tmp_path / "model.safetensors"))
