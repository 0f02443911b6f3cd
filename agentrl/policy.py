"""Policies: any causal LM that transformers loads, or one built from nothing for machines without a model hub.

The factory makes an ordinary Hugging Face folder: a randomly initialised Qwen3 of a chosen size, a byte-level BPE
tokenizer trained on the environment's own text, and a chat template with an assistant mask.
"""

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)
from transformers.utils import logging as transformers_logging

from agentrl.context.template_probe import check_template
from agentrl.errors import DataError, DivergedError
from agentrl.storage.files import replacing
from agentrl.storage.manifest import check_manifest, write_manifest
from agentrl.storage.policy_check import check_loaded, check_policy_folder, shape_conflict

transformers_logging.disable_progress_bar()

END, PAD, SYSTEM, USER, ASSISTANT = "<|end|>", "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>"

CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'assistant' -%}"
    "<|assistant|>{% generation %}{{ message['content'] }}<|end|>{% endgeneration %}"
    "{%- else -%}{{ '<|' + message['role'] + '|>' + message['content'] }}{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}"
)

# First BPE merges inside words and inside entities ("cabinet 12"), then words into set phrases, never across an
# entity: so a name with its number and a frequent phrase are one token each, and a word is never cut to fit a phrase.
# The bound on an entity's word is for words without end, in which one is looked for from every letter: without it
# 128,000 letters in a row take minutes.
ENTITY = r"\s?[A-Za-z']{1,40} \d+"
WORDS = rf"{ENTITY}|\s?[A-Za-z']+|\s?\d+|\s?[^\sA-Za-z\d]|\s"
PHRASES = rf"{ENTITY}|(?:(?!{ENTITY})[\s\S])+"


def train_tokenizer(
    texts: Iterable[str], *, vocab_size: int = 2048, num_phrases: int = 256, tags: Collection[str] = ()
) -> Any:
    """Train a byte-level BPE on ``texts`` (any string can still be encoded) and dress it as a chat tokenizer.

    Merges come in two stages, inside words first and between words second: SuperBPE, arXiv:2503.13423, sec. 3.

    Args:
      texts: observations and actions of the environment.
      vocab_size: most entries, the 256 bytes and the special tokens included.
      num_phrases: most merges of the second stage, of ``vocab_size``.
      tags: strings that must be single ordinary tokens, such as ``</action>``.

    Returns:
      A ``PreTrainedTokenizerFast`` whose end-of-message token is its eos token.
    """
    corpus = Counter(texts)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = _split(WORDS)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - num_phrases,
        min_frequency=2,
        special_tokens=[PAD, END, SYSTEM, USER, ASSISTANT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator((text for text, count in corpus.items() for _ in range(count)), trainer)
    room = vocab_size - tokenizer.get_vocab_size() - len(set(tags))
    tokenizer = _with_phrases(tokenizer, corpus, min(num_phrases, room))
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        clean_up_tokenization_spaces=False,
        additional_special_tokens=[SYSTEM, USER, ASSISTANT],
    )
    fast.add_tokens(sorted(set(tags)))
    fast.chat_template = CHAT_TEMPLATE
    return fast


def _split(pattern: str) -> Any:
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), byte_level])


def _with_phrases(tokenizer: Tokenizer, corpus: Counter[str], num_phrases: int, min_share: float = 2e-4) -> Tokenizer:
    """Return a word-level BPE with the most frequent merges between words added.

    A merge needs ``min_share`` of the corpus' tokens: rare combinations are better left to the model.
    """
    pieces: Counter[str] = Counter()
    for text, count in corpus.items():
        for piece in re.findall(PHRASES, text):
            pieces[piece] += count
    sequences = [(tokenizer.encode(piece).tokens, count) for piece, count in pieces.items()]
    least = min_share * sum(len(tokens) * count for tokens, count in sequences)
    state = json.loads(tokenizer.to_str())
    vocabulary, merges = state["model"]["vocab"], state["model"]["merges"]
    for _ in range(num_phrases):
        pairs: Counter[tuple[str, str]] = Counter()
        for tokens, count in sequences:
            for pair in pairwise(tokens):
                pairs[pair] += count
        best = max(pairs, key=lambda pair: (pairs[pair], pair), default=None)
        if best is None or pairs[best] < least:
            break
        merges.append(list(best))
        vocabulary.setdefault("".join(best), len(vocabulary))
        sequences = [(_merged(tokens, best), count) for tokens, count in sequences]
    extended: Tokenizer = Tokenizer.from_str(json.dumps(state))
    extended.pre_tokenizer = _split(PHRASES)
    return extended


def _merged(tokens: list[str], pair: tuple[str, str]) -> list[str]:
    """Join every occurrence of ``pair``, from the left."""
    if pair[0] not in tokens:
        return tokens
    joined: list[str] = []
    for token in tokens:
        if joined and (joined[-1], token) == pair:
            joined[-1] += token
        else:
            joined.append(token)
    return joined


def build_model(
    tokenizer: Any,
    *,
    hidden_size: int = 128,
    num_layers: int = 4,
    num_heads: int = 4,
    num_kv_heads: int | None = None,
    intermediate_size: int | None = None,
    max_context: int = 2048,
    seed: int = 0,
) -> Any:
    """Return a Qwen3 with random weights (tied embeddings, head size hidden/heads); the defaults have about 1 M.

    The global torch generator is left as it was: the weights come from a generator seeded by ``seed``.
    """
    if hidden_size % num_heads:
        raise ValueError(f"hidden_size {hidden_size} is not a multiple of num_heads {num_heads}")
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=intermediate_size or hidden_size * 3,
        num_hidden_layers=num_layers,
        num_attention_heads=num_heads,
        num_key_value_heads=num_kv_heads or num_heads,
        head_dim=hidden_size // num_heads,
        max_position_embeddings=max_context,
        tie_word_embeddings=True,
        rope_theta=10_000.0,
        initializer_range=hidden_size**-0.5 / 2,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen3ForCausalLM(config)
    return model.float()


def save_policy(folder: Path, model: Any, tokenizer: Any) -> None:
    """Write an ordinary Hugging Face folder (safetensors), with a checksum of every file.

    It appears whole, in place of one that was there.

    Raises:
      DivergedError: a weight is not finite; nothing is written.
    """
    for name, weight in model.named_parameters():
        if not bool(torch.isfinite(weight).all()):
            raise DivergedError(f"{name} holds NaN or infinity: the training has diverged; not saved in {folder}")
    with replacing(folder) as partial:
        partial.mkdir(parents=True)
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        write_manifest(partial)


def load_policy(path: str, *, dtype: str = "float32") -> tuple[Any, Any]:
    """Load model and tokenizer from a local folder or a hub name. Code that comes with a model is never run.

    Raises:
      DataError: model or tokenizer is missing, incomplete, damaged, not finite or does not fit the other, or the
        tokenizer has no chat template or one that does not end.
    """
    check_policy_folder(path)
    check_manifest(Path(path))
    with _quiet():
        try:
            tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
            model, report = AutoModelForCausalLM.from_pretrained(
                path,
                dtype=getattr(torch, dtype),
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
            )
        except Exception as error:  # damage can look like anything from inside
            reason = _shape_conflict(path) or f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
            raise DataError(f"cannot load a policy from {path!r}: {reason}") from error
    check_loaded(path, model, tokenizer, report)
    if tokenizer.chat_template != CHAT_TEMPLATE:
        check_template(tokenizer)
    return model, tokenizer


def _shape_conflict(path: str) -> str:
    try:
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
        return shape_conflict(path, config, AutoModelForCausalLM)
    except Exception:  # something else is wrong
        return ""


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' reports back: what they say is said in one line."""
    before = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity(transformers_logging.CRITICAL)
    try:
        yield
    finally:
        transformers_logging.set_verbosity(before)


def end_ids(model: Any) -> tuple[int, ...]:
    """Return the tokens that end a message by the model's generation settings: some models have several."""
    named = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    return tuple(named) if isinstance(named, list | tuple) else () if named is None else (int(named),)


def num_parameters(model: Any) -> int:
    """Return the number of weights, tied ones once."""
    return sum(parameter.numel() for parameter in model.parameters())
