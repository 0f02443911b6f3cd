"""Small tokenizers and a small engine to play episodes with, in a small world."""

import asyncio
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from agentrl.context import ChatFormat
from agentrl.engines.base import Completion, SamplingParams
from agentrl.engines.scripted import Line, Script, ScriptedEngine
from agentrl.errors import EngineError
from tests.agentrl.rollout.corridor import Corridor as Corridor
from tests.agentrl.rollout.corridor import NumberedTasks as NumberedTasks

# -- tokenizers --------------------------------------------------------------------------------------------------------

OWN = (
    "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content }}{% if m.role == 'assistant' %}<|end|>{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
CHATML = (
    "{% if messages[0].role != 'system' %}<|im_start|>system\nYou are helpful.<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA = (
    "<|begin|>{% for m in messages %}<|start|>{{ m.role }}<|stop|>\n\n{{ m.content | trim }}<|eot|>{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant<|stop|>\n\n{% endif %}"
)
TEMPLATES = {"own": OWN, "chatml": CHATML, "llama": LLAMA}
SPECIAL = (
    *("<|user|>", "<|assistant|>", "<|system|>", "<|end|>"),
    *("<|im_start|>", "<|im_end|>", "<|begin|>", "<|start|>", "<|stop|>", "<|eot|>"),
)


def byte_tokenizer(template: str | None = OWN) -> Any:
    """Return a tokenizer with one token per byte, the special tokens, and a chat template."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, clean_up_tokenization_spaces=False)
    tokenizer.chat_template = template
    return tokenizer


# -- an engine ---------------------------------------------------------------------------------------------------------


class TracedEngine(ScriptedEngine):
    """A scripted engine that remembers the ids of released sessions, lets others run, and may fail on request."""

    def __init__(self, script: Script, tokenizer: Any, *, max_context: int = 4096, fail_at: int | None = None) -> None:
        super().__init__(script, tokenizer, max_context=max_context)
        self.policy_version = 7
        self.finished: list[list[int]] = []
        self.num_requests = 0
        self._ids: dict[int, list[int]] = {}
        self._fail_at = fail_at

    def release(self, session: int) -> None:
        super().release(session)
        self.finished.append(self._ids.pop(session, []))

    async def generate(self, session: int, new_ids: NDArray[np.int32], params: SamplingParams) -> Completion:
        self.num_requests += 1
        request = self.num_requests
        await asyncio.sleep(0)
        if request == self._fail_at:
            raise EngineError("the device is gone")
        completion = await super().generate(session, new_ids, params)
        self._ids.setdefault(session, []).extend([*new_ids.tolist(), *completion.ids.tolist()])
        return completion


def chatter(chat: ChatFormat, *texts: str) -> Script:
    """Return a script that says one of ``texts`` at random, with random log-probs, entropies and runners-up.

    Runners-up are letters, or the end of the message.
    """

    def script(ids: NDArray[np.int32], rng: np.random.Generator) -> Line:
        said = chat.message(str(rng.choice(texts))).tolist()
        logprobs, entropies = (-rng.random(len(said))).tolist(), rng.random(len(said)).tolist()
        others = rng.choice(chat.message("glint").tolist(), len(said)).tolist()
        return Line(said, logprobs, entropies, list(zip(others, (-rng.random(len(said))).tolist(), strict=True)))

    return script


def recite(chat: ChatFormat, *texts: str) -> Script:
    """Return a script that says ``texts`` one after the other, whatever the session."""
    waiting = iter(texts)
    return lambda ids, rng: Line(chat.message(next(waiting)).tolist())
