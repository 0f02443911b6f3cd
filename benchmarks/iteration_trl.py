"""TRL's side of ``benchmarks/iteration.py``, run there by a Python that has TRL: one job file in, one JSON line out.

TRL feeds a tool's answer and samples again until a message calls no tool. Here every message is a call, as on our side,
so the tool of an episode that has ended answers with more than fits: TRL then drops the answer and ends the row, which
spares it a turn. It is given further what makes it fast on one CPU: float32, no gradient checkpointing, no logging,
and a parser that reads a message without its schemas.
"""

import json
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

import agentrl.making
import agentrl_envs  # noqa: F401  registers the environments

TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'assistant' -%}<|assistant|>{{ message['content'] }}"
    "{%- for call in message['tool_calls'] or [] -%}{{ call['function'] }}{%- endfor -%}<|end|>"
    "{%- else -%}<|user|>{{ message['content'] }}{%- endif -%}"
    "{%- endfor -%}{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}"
)
"""The policy's own format, with a tool's answer as the user's message. Calls are written because TRL asks whether they
can be; it never feeds what this writes of them."""


class World:
    """An episode, with one tool."""

    job: dict[str, Any]
    ended: list[tuple[float, int]]
    reset_s = 0.0

    def __init__(self) -> None:
        self._env = agentrl.making.make(self.job["env_id"], **self.job["env_kwargs"])

    def reset(self, task: str, seed: int, **row: Any) -> str:
        """Begin the task."""
        start = time.process_time()
        observation, _ = self._env.reset(seed=seed, options={"task": task})
        self._reward, self._turns, self._success, self._over = 0.0, 0, False, False
        World.reset_s += time.process_time() - start
        return observation

    def act(self, action: str) -> str:
        """Play one turn.

        Args:
            action: What to do.
        """
        observation, reward, terminated, truncated, info = self._env.step(action)
        self._reward += reward
        self._turns += 1
        self._success = info["success"]
        return "<|pad|>" * (self.job["context"] + 1) if terminated or truncated else observation

    def get_reward(self) -> float:
        """Return the episode's return."""
        self.ended.append((float(self._success), self._turns))
        return self._reward


class Clock(TrainerCallback):
    """Measures iterations: from the end of one's last optimizer step to the end of the next one's."""

    def __init__(self, steps: int, trainer: GRPOTrainer) -> None:
        self.rows: list[dict[str, float]] = []
        self._steps, self._generate, self._rollout_s = steps, trainer._generate, 0.0
        self._tokens = 0
        trainer._generate = self._timed

    def _timed(self, prompts: list[Any]) -> Any:
        start = time.process_time()
        played = self._generate(prompts)
        self._rollout_s += time.process_time() - start
        self._tokens += sum(map(len, played[0])) + sum(map(len, played[1]))
        return played

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        """Begin the first iteration."""
        self._start = time.process_time()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Close the iteration after its last step."""
        if state.global_step % self._steps:
            return
        now = time.process_time()
        rollout_s, whole_s = self._rollout_s + World.reset_s, now - self._start
        episodes = len(World.ended)
        self.rows.append(
            {
                "rollout_s": rollout_s,
                "update_s": whole_s - rollout_s,
                "whole_s": whole_s,
                "success": sum(success for success, _ in World.ended) / episodes,
                "turns": sum(turns for _, turns in World.ended) / episodes,
                "tokens": self._tokens / episodes,
                "episodes": episodes,
            }
        )
        self._start, self._rollout_s, World.reset_s, self._tokens = now, 0.0, 0.0, 0
        World.ended.clear()


def tokenizer_of(folder: str) -> Any:
    """Return the policy's tokenizer, to which every message is a call of the tool."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = TEMPLATE

    def parse_response(ids: list[int], **options: Any) -> dict[str, Any]:
        call = {"name": "act", "arguments": {"action": tokenizer.decode(ids, skip_special_tokens=True).strip()}}
        return {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": call}]}

    tokenizer.response_template = {"parsed": "by the function above"}
    tokenizer.parse_response = parse_response
    return tokenizer


def settings(job: dict[str, Any], folder: str) -> GRPOConfig:
    """Return what corresponds to our configuration."""
    minibatch = len(job["tasks"]) // job["iterations"] * job["group_size"] // job["minibatches"]
    rows = min(job["rows"], minibatch)
    return GRPOConfig(
        output_dir=folder,
        per_device_train_batch_size=rows,
        gradient_accumulation_steps=minibatch // rows,
        steps_per_generation=job["minibatches"] * (minibatch // rows),
        max_steps=job["minibatches"] * job["iterations"],
        num_generations=job["group_size"],
        max_completion_length=job["context"],
        generation_kwargs={"max_new_tokens": job["turn_tokens"]},
        shuffle_dataset=False,
        learning_rate=job["lr"],
        lr_scheduler_type="constant",
        adam_beta1=job["betas"][0],
        adam_beta2=job["betas"][1],
        max_grad_norm=job["max_grad_norm"],
        temperature=1.0,
        top_p=1.0,
        top_k=0,
        beta=0.0,
        bf16=False,
        use_cpu=True,
        gradient_checkpointing=False,
        report_to="none",
        logging_strategy="no",
        save_strategy="no",
        disable_tqdm=True,
    )


def main() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    job = json.loads(Path(sys.argv[1]).read_text())
    World.job, World.ended = job, []
    model = AutoModelForCausalLM.from_pretrained(job["policy"], dtype=torch.float32)
    rows = [{"prompt": [{"role": "user", "content": ""}], "task": task, "seed": seed} for task, seed in job["tasks"]]
    with tempfile.TemporaryDirectory() as folder:
        trainer = GRPOTrainer(
            model=model,
            args=settings(job, folder),
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer_of(job["policy"]),
            environment_factory=World,
        )
        clock = Clock(job["minibatches"], trainer)
        trainer.add_callback(clock)
        trainer.train()
    print(json.dumps({"iterations": clock.rows}))


if __name__ == "__main__":
    main()
