"""Training with vLLM's engine: what the trainer does, with a model of the test's in the library's place."""

import dataclasses
import sys
import types
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from agentrl.engines.base import SamplingParams
from agentrl.engines.vllm_library import SampledTurn
from agentrl.errors import ConfigError, EngineError
from agentrl.policy import load_policy
from agentrl.seeding import generator
from agentrl.store import TrajectoryStore
from agentrl.trainer.config import parse_config
from agentrl.trainer.directory.checkpoint import check_checkpoint, latest_checkpoint
from agentrl.trainer.engine import check_engine
from agentrl.trainer.launch import num_processes
from agentrl.trainer.loop import run_evaluation, run_training
from agentrl.types import StopReason
from tests.agentrl.trainer.tiny import assert_same_run, records, run_in_two_parts, tiny_config

SHORT: dict[str, Any] = {
    "env": {"kwargs": {"size": 2, "max_turns": 4}},
    "context": {"max_turn_tokens": 4, "max_context": 160},
    "warm_start": {"steps": 30},
    "rollout": {"tasks_per_iteration": 2, "group_size": 4},
    "eval": {"tasks": 2},
    "engine": {"kind": "vllm", "settings": {"enforce_eager": True}},
    "run": {"iterations": 2, "save_trajectories_every": 1, "checkpoint_every": 9},
}


class ModelLibrary:
    """vLLM's part, played by transformers: its own copy of the weights, a whole forward pass per token."""

    started: ClassVar[list["ModelLibrary"]] = []

    def __init__(self, path: str, **arguments: Any) -> None:
        self.model, _ = load_policy(path)
        self.path, self.arguments = Path(path), arguments
        self.running: dict[str, tuple[list[int], int, list[float], SamplingParams, np.random.Generator]] = {}
        self.num_reloads, self.is_closed = 0, False
        ModelLibrary.started.append(self)

    @property
    def vocab_size(self) -> int:
        return int(self.model.config.vocab_size)

    def add(self, request: str, ids: list[int], params: SamplingParams, seed: int) -> None:
        self.running[request] = ([*ids], len(ids), [], params, generator(seed))

    def step(self) -> list[SampledTurn]:
        ended = []
        for request, (ids, prompt, scores, params, rng) in list(self.running.items()):
            row_V = self._logprobs(ids, params.temperature or 1.0)[-1]
            greedy = params.temperature == 0
            token = int(row_V.argmax() if greedy else rng.choice(len(row_V), p=np.exp(row_V) / np.exp(row_V).sum()))
            ids.append(token)
            scores.append(float(row_V[token]))
            if token in params.stop_token_ids or len(scores) == params.max_tokens:
                del self.running[request]
                reason = StopReason.END if token in params.stop_token_ids else StopReason.MAX_TOKENS
                said = np.array(ids[prompt:], np.int32)
                column = np.array(scores, np.float32)
                ended.append(SampledTurn(request, said, column, np.zeros_like(column), reason, prompt, 0))
        return ended

    def abort(self, request: str) -> None:
        del self.running[request]

    def reload(self, weights: Iterable[tuple[str, Any]]) -> None:
        self.num_reloads += 1
        self.model.load_state_dict({name: tensor.clone() for name, tensor in weights})

    def score(self, ids: list[int]) -> NDArray[np.float64]:
        return self._logprobs(ids, 1.0)[np.arange(len(ids) - 1), ids[1:]]

    def close(self) -> None:
        self.is_closed = True

    def _logprobs(self, ids: list[int], temperature: float) -> NDArray[np.float64]:
        with torch.no_grad():
            logits_LV = self.model(input_ids=torch.tensor([ids])).logits[0].double() / temperature
            return logits_LV.log_softmax(-1).numpy()


@dataclasses.dataclass
class EngineArgs:
    """As many of vLLM's settings as the tests name."""

    enforce_eager: bool = False
    block_size: int = 16
    dtype: str = "auto"
    gpu_memory_utilization: float = 0.9
    logprobs_mode: str = "raw_logprobs"


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[ModelLibrary]]:
    """The libraries that were started."""
    monkeypatch.setitem(sys.modules, "vllm", types.SimpleNamespace(EngineArgs=EngineArgs))
    monkeypatch.setattr("agentrl.engines.vllm.InProcessVllm", ModelLibrary)
    ModelLibrary.started = []
    yield ModelLibrary.started
    ModelLibrary.started = []


@pytest.fixture
def without_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)


# -- training ----------------------------------------------------------------------------------------------------------


def test_two_iterations(library: list[ModelLibrary], tmp_path: Path) -> None:
    """The engine takes over the weights at the start, after the warm start and after each update, and is freed."""
    config = tiny_config(tmp_path / "run", **SHORT)
    assert run_training(config) == 0
    [one] = library
    assert one.path == tmp_path / "run" / "initial_policy"
    assert one.arguments == {
        "max_context": 160, "max_running": 16, "top_logprobs": 20, "dtype": "float32",
        "gpu_memory_utilization": 0.4, "enforce_eager": True,
    }  # fmt: skip
    assert (one.num_reloads, one.is_closed, one.running) == (4, True, {})
    policy, _ = load_policy(str(tmp_path / "run" / "policy"))
    assert all(weight.equal(one.model.state_dict()[name]) for name, weight in policy.state_dict().items())
    updates = [record for record in records(tmp_path / "run") if record["stage"] == "reinforce"]
    assert [record["index"] for record in updates] == [1, 2]
    for record in updates:
        assert 0 <= record["engine/sync_difference"] < 1e-5
        assert 0 < record["engine/mismatch"] < 1e-5, "sampled by the weights that the update began with"
        assert record["grad_norm"] > 0
    store = TrajectoryStore(tmp_path / "run" / "trajectories")
    for iteration in (0, 1):
        turns = [turn for trajectory in store.read(iteration) for turn in trajectory.turns]
        assert {turn.policy_version for turn in turns} == {iteration}


def test_interrupted_and_resumed(library: list[ModelLibrary], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    assert run_training(tiny_config(one, **SHORT)) == 0
    checkpoint = run_in_two_parts(other, monkeypatch, 1, **SHORT)
    assert [library.path for library in library[1:]] == [other / "initial_policy", checkpoint]
    assert all(library.is_closed for library in library)
    assert_same_run(one, other)


def test_the_supervised_control_and_an_evaluation_are_sampled_by_it(
    library: list[ModelLibrary], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = SHORT | {"warm_start": {"steps": 10, "control_steps": 10}, "run": {"iterations": 1}}
    config = tiny_config(tmp_path / "run", **changes)
    assert run_training(config) == 0
    warm, trained = (load_policy(str(tmp_path / "run" / name))[0] for name in ("warm_start_policy", "policy"))
    sampled = library[0].model.state_dict()["model.norm.weight"]
    assert library[0].num_reloads == 4
    assert not any(sampled.equal(policy.model.norm.weight) for policy in (warm, trained)), "it was of the control"
    run_evaluation(config, None)
    assert library[1].model.state_dict()["model.norm.weight"].equal(trained.model.norm.weight)
    assert "served by vLLM (entropies of turns: lower bounds, from the top 20)" in capsys.readouterr().out


def test_weights_that_do_not_arrive_end_the_run(
    library: list[ModelLibrary], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ModelLibrary, "reload", lambda self, weights: None)
    with pytest.raises(EngineError, match="it does not compute with the model's weights"):
        run_training(tiny_config(tmp_path / "run", **SHORT))
    assert library[0].is_closed


def test_an_engine_that_fails_on_end_ends_the_run(
    library: list[ModelLibrary], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by an endless row of iterations without an episode; what was trained before is saved."""
    step = ModelLibrary.step

    def fail(self: ModelLibrary) -> list[SampledTurn]:
        if self.num_reloads > 2:  # the beginning, the warm start, one update
            raise RuntimeError("device lost")
        return step(self)

    config = tiny_config(tmp_path / "run", **SHORT)
    with monkeypatch.context() as patch:
        patch.setattr(ModelLibrary, "step", fail)
        with pytest.raises(EngineError, match=r"all 24 attempts .* were lost, the first to: .*device lost"):
            run_training(config)
    saved = latest_checkpoint(tmp_path / "run" / "checkpoints")
    assert saved is not None and check_checkpoint(saved).progress.iteration == 1
    assert run_training(config, resume=True) == 0


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        ("eval", {"top_p": 0.9}, r"eval.top_p 0.9 .* set eval.top_p=1 or engine.kind=transformers"),
        ("rollout", {"temperature": 2.5}, r"rollout.temperature 2.5 with engine.kind vllm, .* 0.01 to 2.0"),
        ("eval", {"temperature": 0.001}, r"eval.temperature 0.001 with engine.kind vllm"),
        ("engine", {"settings": {"blok_size": 32}}, r"has no field 'blok_size'; did you mean 'block_size'"),
        ("engine", {"settings": {"dtype": "float16"}}, r"engine.settings.dtype is decided by engine.dtype"),
        ("engine", {"settings": {"gpu_memory_utilization": 1}}, r"is decided by engine.gpu_memory_utilization"),
        ("engine", {"settings": {"logprobs_mode": "raw_logprobs"}}, r"logprobs_mode is 'processed_logprobs': .* rest"),
        (
            "engine",
            {"settings": {"tensor_parallel_size": 2}},
            r"tensor_parallel_size is 1: the engine rests on it",
        ),
    ],
)
def test_what_it_cannot_do_is_refused_before_the_first_step(
    library: list[ModelLibrary], tmp_path: Path, section: str, values: dict[str, Any], message: str
) -> None:
    changes = {"engine": {"kind": "vllm"}} | {section: values | ({"kind": "vllm"} if section == "engine" else {})}
    config = tiny_config(tmp_path / "run", **changes)
    with pytest.raises(ConfigError, match=message):
        run_training(config)
    assert not (tmp_path / "run").exists()
    check_engine(tiny_config(tmp_path / "run", **(changes | {"engine": {}})))


def test_a_missing_vllm_is_refused_with_how_to_install_it(without_vllm: None, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"the vllm engine needs vLLM .* pip install 'agentrl\[vllm\]'"):
        run_training(tiny_config(tmp_path / "run", engine={"kind": "vllm"}))
    assert not (tmp_path / "run").exists()
    check_engine(tiny_config(tmp_path / "run"))


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        ({"kind": "vlm"}, "engine.kind: input should be 'transformers', 'vllm' or 'openai', got 'vlm'"),
        ({"kind": "vllm", "tolerence": 1}, "unknown key 'engine.tolerence'; did you mean 'tolerance'?"),
        ({"kind": "vllm", "gpu_memory_utilization": 2}, "engine.gpu_memory_utilization: input should be less than or"),
        (
            {"tolerance": 0.1, "settings": {"block_size": 32}},
            "engine: kind transformers has no use for tolerance, settings: remove it, or choose kind vllm",
        ),
    ],
)
def test_wrong_keys(engine: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config({"env": {"id": "agentrl/Maze-v0"}, "engine": engine})
    assert str(caught.value).startswith(message)


def test_one_process_serves_unless_more_are_asked_for(tmp_path: Path) -> None:
    assert num_processes(tiny_config(tmp_path, run={"processes": 0}, engine={"kind": "vllm"})) == 1
