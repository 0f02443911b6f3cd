"""Checkpoints: whole or not at all, and no damage is believed."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from agentrl.errors import CheckpointError, DivergedError
from agentrl.policy import load_policy
from agentrl.storage.manifest import MANIFEST, write_manifest
from agentrl.trainer.directory.checkpoint import (
    Progress,
    State,
    check_checkpoint,
    checkpoints,
    choose_checkpoint,
    latest_checkpoint,
    load_state,
    not_finite,
    save_checkpoint,
    set_aside,
)
from agentrl.trainer.directory.metrics import Metrics
from agentrl.trainer.loop import run_training
from agentrl.update.optimizer import Optimizer
from tests.agentrl.engines.tiny import build
from tests.agentrl.rollout.toys import byte_tokenizer
from tests.agentrl.trainer.tiny import assert_same_run, tiny_config


@pytest.fixture(scope="module")
def model() -> Any:
    return build("qwen3", num_kv_heads=1)


@pytest.fixture(scope="module")
def optimizer(model: Any) -> Optimizer:
    optimizer = Optimizer(model)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step(1e-3)
    return optimizer


def save(directory: Path, progress: Progress, model: Any, optimizer: Any, keep: int = 2) -> Path:
    state = State(progress=progress, config={"env": {"id": "x"}}, processes=1, algorithm={"tasks": {"a": [1, 0.5]}})
    directory.mkdir(exist_ok=True)
    metrics = Metrics(directory.parent, lambda text: None)
    metrics.lines = ['{"stage": "reinforce", "index": 1}']
    return save_checkpoint(directory, state, model, byte_tokenizer(), {"optimizer": optimizer}, metrics, keep)


def test_round_trip(tmp_path: Path, model: Any, optimizer: Optimizer) -> None:
    progress = Progress("reinforce", 7, 3, 3, 100, 20, 1.5, {"warm start": {"greedy": {"success": 0.25}}})
    folder = save(tmp_path / "all", progress, model, optimizer)
    assert folder.name == "iteration-000003" and latest_checkpoint(tmp_path / "all") == folder
    state = check_checkpoint(folder)
    assert state.progress == progress and state.algorithm == {"tasks": {"a": [1, 0.5]}} and state.processes == 1
    loaded, tokenizer = load_policy(str(folder))
    assert tokenizer.get_vocab() == byte_tokenizer().get_vocab()
    assert all(value.equal(loaded.state_dict()[name]) for name, value in model.state_dict().items())
    restored = Optimizer(loaded)
    load_state(folder, "optimizer", restored)
    for ours, theirs in zip(restored.state_dict()["parts"], optimizer.state_dict()["parts"], strict=True):
        assert ours["state"].keys() == theirs["state"].keys() != set()
        for key, state in theirs["state"].items():
            assert all(value.equal(ours["state"][key][name]) for name, value in state.items())


def test_the_newest_are_kept_in_the_order_of_the_run(tmp_path: Path, model: Any, optimizer: Optimizer) -> None:
    directory = tmp_path / "all"
    assert latest_checkpoint(directory) is None
    for step in (10, 20):
        save(directory, Progress(step=step), model, optimizer)
    assert [folder.name for folder in checkpoints(directory)] == ["warm-000010", "warm-000020"]
    for iteration in (0, 5):
        save(directory, Progress("reinforce", 20, iteration), model, optimizer)
    assert sorted(path.name for path in directory.iterdir()) == ["iteration-000000", "iteration-000005"]
    for step in (0, 10, 20):
        save(directory, Progress("control", step, 5), model, optimizer)
    names = ["iteration-000005", "control-000010", "control-000020"]
    assert [folder.name for folder in checkpoints(directory)] == names, "the control goes back to the last iteration"
    save(directory, Progress("done", 20, 5), model, optimizer)
    assert [folder.name for folder in checkpoints(directory)] == ["control-000020", "done-000005"]


def test_a_half_written_one_does_not_count(
    tmp_path: Path, model: Any, optimizer: Optimizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "all"
    first = save(directory, Progress(step=10), model, optimizer)

    def full(*arguments: Any) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(OSError, match="no space"):
            save(directory, Progress(step=20), model, optimizer)
    assert [path.name for path in directory.iterdir()] == [first.name], "nor is anything left of it"
    assert save(directory, Progress(step=20), model, optimizer) == latest_checkpoint(directory)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def halve(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


FILES = (
    "config.json",
    "metrics.jsonl",
    "model.safetensors",
    "optimizer.pt",
    "state.json",
    "tokenizer.json",
    "tokenizer_config.json",
    MANIFEST,
)


@pytest.mark.parametrize("damage", [flip, halve, Path.unlink])
@pytest.mark.parametrize("name", FILES)
def test_every_damage_of_every_file_is_found(
    tmp_path: Path, model: Any, optimizer: Optimizer, name: str, damage: Callable[[Path], None]
) -> None:
    older, folder = (save(tmp_path / "all", Progress(step=step), model, optimizer) for step in (10, 20))
    assert {path.name for path in folder.iterdir()} >= set(FILES)
    damage(folder / name)
    with pytest.raises(CheckpointError) as caught:
        choose_checkpoint(tmp_path / "all")
    said = str(caught.value)
    assert said.startswith(f"checkpoint {folder} is damaged: ") and "remove" not in said
    assert said.endswith(f"; --resume-from {older.name} goes on from the newest sound one before it")
    assert name in said or name == MANIFEST
    assert choose_checkpoint(tmp_path / "all", older.name) == older


def test_no_older_one_is_sound(tmp_path: Path, model: Any, optimizer: Optimizer) -> None:
    for step in (10, 20):
        flip(save(tmp_path / "all", Progress(step=step), model, optimizer) / "optimizer.pt")
    with pytest.raises(CheckpointError, match="there is no older sound one: start anew with --fresh"):
        choose_checkpoint(tmp_path / "all")
    with pytest.raises(CheckpointError, match=r"no checkpoint 'x' in .*: there are warm-000010, warm-000020"):
        choose_checkpoint(tmp_path / "all", "x")
    with pytest.raises(CheckpointError, match="nothing to resume"):
        choose_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"progress": {"iteration": -1}}, "progress.iteration: Input should be greater than or equal to 0"),
        ({"progress": {"stag": "done"}}, "progress.stag: Unexpected"),
        ({"progress": {"stage": "gone"}}, "progress.stage: Input should be 'warm_start', "),
        ({"processes": "two"}, "processes: Input should be a valid integer"),
        ({"more": 1}, "more: Extra inputs are not permitted"),
        ({"format": 3}, "has format 3, this version of agentrl reads 2"),
        ({"format": None}, "has format None"),
    ],
)
def test_the_state_has_a_schema(
    tmp_path: Path, model: Any, optimizer: Optimizer, change: dict[str, Any], message: str
) -> None:
    """Whoever writes it anew, with the right checksum."""
    folder = save(tmp_path / "all", Progress(), model, optimizer)
    content = json.loads((folder / "state.json").read_text())
    (folder / "state.json").write_text(json.dumps(content | change))
    write_manifest(folder)
    with pytest.raises(CheckpointError) as caught:
        check_checkpoint(folder)
    assert message in str(caught.value)


def test_what_is_not_finite_is_not_saved(tmp_path: Path, model: Any, optimizer: Optimizer) -> None:
    broken = build("qwen3")
    with torch.no_grad():
        broken.get_output_embeddings().weight[0, 0] = torch.inf
    with pytest.raises(DivergedError, match=r"lm_head.weight holds NaN or infinity: .* not saved in"):
        save(tmp_path / "all", Progress(), broken, optimizer)

    class Moments:
        def state_dict(self) -> dict[str, Any]:
            return {"parts": [{"state": {3: {"exp_avg": torch.tensor([torch.nan])}}}]}

    with pytest.raises(DivergedError, match=r"optimizer parts.0.state.3.exp_avg is not finite: not saved"):
        save(tmp_path / "all", Progress(), model, Moments())
    assert list((tmp_path / "all").iterdir()) == []


def test_not_finite() -> None:
    assert not_finite({"a": [torch.ones(2), 3, {"b": torch.tensor([1])}], "c": None}) is None
    assert not_finite({"a": [0, {"b": torch.tensor([-torch.inf])}]}) == "a.1.b"


def test_the_optimizer_of_another_model_does_not_fit(tmp_path: Path, model: Any, optimizer: Optimizer) -> None:
    folder = save(tmp_path / "all", Progress(), model, optimizer)
    with pytest.raises(CheckpointError, match="optimizer cannot be read"):
        load_state(folder, "optimizer", Optimizer(build("qwen2")))


def test_newer_ones_are_set_aside(tmp_path: Path, model: Any, optimizer: Optimizer) -> None:
    said: list[str] = []
    for _ in range(2):
        older, newer = (save(tmp_path / "all", Progress(step=step), model, optimizer) for step in (10, 20))
        set_aside(older, said.append)
        assert checkpoints(tmp_path / "all") == [older]
    assert said[1] == f"checkpoint warm-000020 is set aside as {newer.with_name('aside-2.warm-000020')}"


def test_a_run_goes_on_from_the_checkpoint_before_a_damaged_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = (
        tiny_config(tmp_path / name, warm_start={"steps": 0}, run={"iterations": 3, "checkpoint_every": 1})
        for name in ("one", "other")
    )
    assert run_training(one) == run_training(other) == 0
    older, last = checkpoints(tmp_path / "other" / "checkpoints")
    assert (older.name, last.name) == ("iteration-000003", "done-000003")
    flip(last / "model.safetensors")
    with pytest.raises(CheckpointError, match="--resume-from iteration-000003 goes on"):
        run_training(other, resume=True)
    assert run_training(other, resume_from=older.name) == 0
    assert "checkpoint done-000003 is set aside" in capsys.readouterr().out
    assert_same_run(tmp_path / "one", tmp_path / "other")
