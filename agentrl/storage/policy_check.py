"""What must hold before a folder, and what was loaded from it, is believed to be a policy."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from agentrl.errors import DataError

VOCABULARIES = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tekken.json",
)
"""Files that the tokens of a tokenizer are read from; one of them is needed."""


def check_policy_folder(path: str) -> None:
    """Look whether ``path`` can be a policy, without loading it.

    Raises:
      DataError: a folder without configuration, weights (safetensors) or tokenizer, or neither a folder nor a hub name.
    """
    folder = Path(path)
    try:
        exists = path != "" and folder.exists()
    except (OSError, ValueError):  # a name that no file can have
        exists = False
    if not exists:
        if path.startswith((".", "/", "~")) or path.count("/") != 1:
            raise DataError(f"policy.path {path!r} is neither an existing folder nor a hub name, 'owner/model'")
        return
    if not folder.is_dir():
        raise DataError(f"{path} is a file: a policy is a folder with config.json, weights and tokenizer")
    if not (folder / "config.json").is_file():
        raise DataError(f"{path} holds no model: config.json is missing")
    if not any(folder.glob("*.safetensors")):
        pickled = any(folder.glob("*.bin")) or any(folder.glob("*.pt"))
        way_out = (
            "pickled weights can run code and are not read: save them as safetensors" if pickled else "copy it too"
        )
        raise DataError(f"{path} holds no weights: model.safetensors is missing; {way_out}")
    if not any((folder / name).is_file() for name in VOCABULARIES):
        raise DataError(f"{path} holds a model without a tokenizer: tokenizer.json is missing; save it beside")
    if not (folder / "tokenizer_config.json").is_file():
        raise DataError(
            f"{path} holds half a tokenizer: tokenizer_config.json, which says what is a special token, is missing; "
            "save the whole tokenizer beside the model"
        )


def check_loaded(path: str, model: Any, tokenizer: Any, report: Mapping[str, Any]) -> None:
    """Check that a model was filled from its files alone, is finite, and has a row for each token it can meet.

    Args:
      path: where both come from, for the message.
      model: as loaded.
      tokenizer: as loaded.
      report: the loading info of ``from_pretrained``.

    Raises:
      DataError: says what is missing, left over, not finite or out of range.
    """
    _check_keys(path, model, report)
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise DataError(
                f"{path}: {name} holds NaN or infinity: the training that made it diverged; use an earlier one"
            )
    if not getattr(tokenizer, "chat_template", None):
        raise DataError(f"the tokenizer of {path!r} has no chat template: set tokenizer.chat_template and save it")
    _check_vocabulary(path, model, tokenizer)


def shape_conflict(path: str, config: Any, auto: Any) -> str:
    """Return which weight of a local folder has another shape than its configuration says; "" for none.

    Args:
      path: of the folder.
      config: its configuration.
      auto: the auto class that makes models.
    """
    from safetensors import safe_open

    with torch.device("meta"):
        expected = {name: list(tensor.shape) for name, tensor in auto.from_config(config).state_dict().items()}
    for file in sorted(Path(path).glob("*.safetensors")):
        with safe_open(file, framework="pt") as weights:
            for name in weights.keys():  # noqa: SIM118  safetensors' handle is no mapping
                found = weights.get_slice(name).get_shape()
                if name in expected and found != expected[name]:
                    return f"{name} has the shape {found}, by config.json it is {expected[name]}"
    return ""


def _check_keys(path: str, model: Any, report: Mapping[str, Any]) -> None:
    missing = sorted(report["missing_keys"])
    if missing:
        raise DataError(
            f"{path} is incomplete: {_some(missing)} missing and would be random; save the whole model again"
        )
    mismatched = sorted(str(entry[0]) for entry in report["mismatched_keys"])
    if mismatched or report["error_msgs"]:
        raise DataError(f"{path} does not fit its config.json: {_some(mismatched)} of another shape")
    modules = {name for name, _ in model.named_modules()}
    left_over = sorted(name for name in report["unexpected_keys"] if _is_inside(name, modules))
    if left_over:
        raise DataError(
            f"{path} does not fit its config.json: {_some(left_over)} left over, with no place in a "
            f"{type(model).__name__} of this configuration"
        )


def _is_inside(name: str, modules: Collection[str]) -> bool:
    """Whether a weight belongs to a part that the model has: others, such as eyes or further heads, may be left out."""
    parts = name.split(".")
    first = min(2, len(parts) - 1)
    return any(".".join(parts[:depth]) in modules for depth in range(max(1, first), len(parts)))


def _check_vocabulary(path: str, model: Any, tokenizer: Any) -> None:
    """Check that no text, no template and no special token leads beyond the embedding.

    Special tokens beyond it that nothing here can meet may stay: they are those of pictures or sounds.
    """
    rows = min(len(model.get_input_embeddings().weight), len(model.get_output_embeddings().weight))
    special = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    template = str(tokenizer.chat_template)
    named = {tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token}
    beyond = sorted(
        (index, token)
        for token, index in tokenizer.get_vocab().items()
        if index >= rows and (token not in special or token in named or token in template)
    )
    if beyond:
        index, token = beyond[0]
        raise DataError(
            f"{path}: the tokenizer is larger than the model's embedding: {len(beyond)} of its tokens, the first "
            f"{token!r} ({index}), have no row among {rows}; save the tokenizer that belongs to this model"
        )
    ends = model.config.eos_token_id
    for index in ends if isinstance(ends, Iterable) else [ends]:
        if index is not None and not 0 <= index < rows:
            raise DataError(f"{path}: eos_token_id {index} of config.json has no row among the {rows} of the embedding")


def _some(names: list[str]) -> str:
    """Return names for a sentence, at most three, with the verb.

    >>> _some(["a"]), _some(["a", "b", "c", "d"])
    ('a is', '4 weights (a, b, c, …) are')
    """
    if len(names) == 1:
        return f"{names[0]} is"
    return f"{len(names)} weights ({', '.join(names[:3])}{', …' if len(names) > 3 else ''}) are"
