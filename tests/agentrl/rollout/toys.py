"""A small world, small tokenizers and a small engine to play episodes with."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from agentrl.context import ChatFormat
from agentrl.engines.base import Completion, SamplingParams
from agentrl.engines.scripted import Line, Script, ScriptedEngine
from agentrl.env import TextEnv, TurnResult, advance, finish
from agentrl.errors import EngineError, TaskNotFoundError
from agentrl.tasks import TaskRef, TaskSet, content_digest

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


# -- a world -----------------------------------------------------------------------------------------------------------


class NumberedTasks(TaskSet[int]):
    """Task ``name-n`` for each number ``n`` of a range, all for training."""

    def __init__(self, name: str, numbers: range) -> None:
        self._ids = [f"{name}-{n}" for n in numbers]

    @property
    def splits(self) -> Mapping[str, Sequence[str]]:
        return {"train": self._ids}

    def load(self, task_id: str) -> int:
        return int(task_id.split("-")[1])

    def ref(self, task_id: str) -> TaskRef:
        if task_id not in self._ids:
            raise TaskNotFoundError(f"no task {task_id!r}")
        return TaskRef(task_id, "train", content_digest(task_id))


class Corridor(TextEnv):
    """Positions on a line; in task ``corridor-n`` the bell is ``n`` steps right of a random start.

    ``fault`` is called before each turn with the turn and may raise.
    """

    def __init__(self, *, max_turns: int | None = 20, fault: Callable[[int], None] = lambda turn: None) -> None:
        super().__init__(NumberedTasks("corridor", range(2, 6)), max_turns=max_turns)
        self._fault = fault
        self._at = self._bell = 0

    def _start(self, task: TaskRef, rng: np.random.Generator) -> str:
        self._at = int(rng.integers(100))
        self._bell = self._at + self.tasks.load(task.id)
        return f"You are at {self._at}. Ring the bell at {self._bell}."

    def _advance(self, action: str) -> TurnResult:
        self._fault(self.turn)
        if action == "ring" and self._at == self._bell:
            return finish("It rings.", reward=1.0, success=True)
        if action not in ("left", "right"):
            return advance("Nothing happens.", reward=-0.1, action_valid=False)
        self._at += 1 if action == "right" else -1
        return advance(f"You are at {self._at}.")

    def _anchor_key(self) -> tuple[int, int]:
        return (self._at, self._bell)

    def _admissible_actions(self) -> list[str]:
        return ["left", "right", *(["ring"] if self._at == self._bell else [])]

    def _get_state(self) -> tuple[int, int]:
        return (self._at, self._bell)

    def _set_state(self, state: tuple[int, int]) -> None:
        self._at, self._bell = state

    def _solve(self) -> list[str]:
        steps = self._bell - self._at
        return ["right" if steps > 0 else "left"] * abs(steps) + ["ring"]


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
