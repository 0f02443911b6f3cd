"""The command line: what works, and one clear line on standard error with exit code 2 for what does not."""

import io
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agentrl.cli import main
from agentrl.policy import build_model
from agentrl.trainer.loop import run_training
from agentrl_envs.webshop.env import WebShopEnv
from tests.agentrl.rollout.toys import byte_tokenizer
from tests.agentrl.trainer.tiny import records, tiny_config, tiny_tree, write_config


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "250")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run without learning."""
    directory = tmp_path_factory.mktemp("cli") / "run"
    assert run_training(small(directory)) == 0
    return directory


def small(directory: Path, **changes: dict[str, Any]) -> Any:
    return tiny_config(directory, **small_changes(changes))


def small_changes(changes: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    base: dict[str, dict[str, Any]] = {"warm_start": {"steps": 0}, "run": {"iterations": 1}, "eval": {"tasks": 4}}
    return base | {section: base.get(section, {}) | values for section, values in changes.items()}


def small_file(tmp_path: Path, **changes: dict[str, Any]) -> Path:
    return write_config(tmp_path / "run.yaml", tiny_tree(tmp_path / "run", **small_changes(changes)))


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    """Return exit code, standard output and standard error."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    output, errors = capsys.readouterr()
    return int(ended.value.code or 0), output, errors


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """Return the one line that a command was refused with."""
    code, output, errors = run(capsys, *arguments)
    assert code == 2 and output == ""
    assert errors.startswith("agentrl: ") and errors.count("\n") == 1
    return errors.removeprefix("agentrl: ").rstrip("\n")


@pytest.mark.parametrize("place", ["/dev/null/run", "/proc/run", "x" * 300, "FILE", "FILE/run"])
def test_directories_that_cannot_be_written_to(capsys: pytest.CaptureFixture[str], tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("not a folder")
    place = place.replace("FILE", str(tmp_path / "file"))
    said = refused(capsys, "train", small_file(tmp_path), "--set", f"run.directory={place}")
    assert place[:100] in said and said.endswith(
        ("Not a directory", "No such file or directory", "too long", "File exists")
    )


def test_a_policy_that_this_machine_cannot_hold(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    large = ["--set", "policy.build.hidden_size=65536", "--set", "policy.build.num_layers=1000"]
    said = refused(capsys, "train", small_file(tmp_path), *large)
    assert "asks for about 55," in said and "this machine has" in said and not (tmp_path / "run").exists()


def test_a_task_that_cannot_begin(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    said = refused(capsys, "train", small_file(tmp_path), "--set", "env.kwargs.size=0")
    assert said.startswith("agentrl/Maze-v0 cannot begin task 'train/0': ValueError: ")


@pytest.mark.parametrize("error", [OSError(28, "No space left on device", "x.html"), MemoryError()])
def test_what_the_machine_lacks_is_one_line(capsys: pytest.CaptureFixture[str], error: Exception) -> None:
    def fail(arguments: list[str] | None) -> None:
        raise error

    with pytest.raises(SystemExit, match="2"):
        main([], run=fail)
    assert capsys.readouterr().err in ("agentrl: x.html: No space left on device\n", "agentrl: not enough memory\n")


# -- what does not work ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["train", "eval"])
@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("updat.lr=1", "unknown key 'updat'; did you mean 'update'?"),
        ("update.lrr=1", "unknown key 'update.lrr'; did you mean 'lr'?"),
        ("update.lr=fast", "update.lr: input should be a valid number, unable to parse string as a number, got 'fast'"),
        ("run.seed", "--set 'run.seed': expected section.key=value"),
        ("env.id=agentrl/Mase-v0", "no environment 'agentrl/Mase-v0'; did you mean 'agentrl/Maze-v0'?"),
        ("env.train_split=trian", "no split 'trian'; did you mean 'train'?"),
        ("eval.split=valid_unsean", "no split 'valid_unsean'; did you mean 'valid_unseen'?"),
        ("algorithm.name=gipgo", "unknown algorithm 'gipgo'; did you mean 'gigpo'?"),
        ("algorithm.gama=0.5", "algorithm gigpo has no option 'gama'; did you mean 'gamma'?"),
        ("algorithm.gamma=2", "algorithm.gamma: input should be less than or equal to 1, got 2"),
        ("context.protocol=tegs", "did you mean 'tags'?"),
        ("policy.path=./nowhere", "policy.path './nowhere' is neither an existing folder nor a hub name"),
    ],
)
def test_bad_configuration(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, finished: Path, command: str, override: str, message: str
) -> None:
    options = ["--policy", str(finished / "policy")] if command == "eval" else []
    if options and override.startswith("policy.path"):
        options = ["--policy", override.partition("=")[2]]
    said = refused(capsys, command, small_file(tmp_path), "--set", override, *options)
    assert message in said
    assert not (tmp_path / "run").exists(), "nothing was begun"


def test_unknown_argument_of_the_environment(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    said = refused(capsys, "train", small_file(tmp_path), "--set", "env.kwargs.sise=3")
    assert said.startswith("agentrl/Maze-v0") and "'sise'" in said
    assert "'sise'" in refused(capsys, "play", "agentrl/Maze-v0", "--set", "sise=3")


def test_missing_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = small_file(tmp_path)
    assert "did you mean" in refused(capsys, "train", tmp_path / "ran.yaml")
    assert "no configuration file" in refused(capsys, "eval", tmp_path / "nowhere" / "run.yaml")
    said = refused(capsys, "train", path, "--set", "env={id: agentrl/Household-v0, kwargs: {games: /no/such/games}}")
    assert "/no/such/games" in said
    assert "train one first" in refused(capsys, "eval", path)


def test_policy_folders(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path, folder = small_file(tmp_path), tmp_path / "policy"
    folder.mkdir()
    assert "config.json is missing" in refused(capsys, "train", path, "--set", f"policy.path={folder}")
    tokenizer = byte_tokenizer(template=None)
    build_model(tokenizer, hidden_size=16, num_layers=1, num_heads=2).save_pretrained(folder)
    for command in (["train", path, "--set", f"policy.path={folder}"], ["eval", path, "--policy", folder]):
        assert "model without a tokenizer" in refused(capsys, *command)
    tokenizer.save_pretrained(folder)
    said = refused(capsys, "train", path, "--set", f"policy.path={folder}")
    assert "has no chat template: set tokenizer.chat_template and save it" in said


def test_existing_and_missing_runs(capsys: pytest.CaptureFixture[str], tmp_path: Path, finished: Path) -> None:
    path = small_file(tmp_path)
    assert "nothing to resume" in refused(capsys, "train", path, "--resume")
    shutil.copytree(finished, tmp_path / "run")
    said = refused(capsys, "train", path)
    assert "holds a run already: --resume continues it, --fresh moves it aside" in said
    refused(capsys, "train", path, "--fresh", "--set", "algorithm.name=gipgo")
    assert (tmp_path / "run" / "report.md").exists(), "a mistake does not move the old run"
    code, output, _ = run(capsys, "train", path, "--resume")
    assert code == 0 and "is complete" in output
    said = refused(capsys, "train", path, "--resume", "--set", "update.lr=1")
    assert "would change its numbers: resume with --set update.lr=0.0005" in said


def test_fresh_moves_the_old_run_aside(capsys: pytest.CaptureFixture[str], tmp_path: Path, finished: Path) -> None:
    path = small_file(tmp_path)
    shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "run.old-1").mkdir()
    code, output, _ = run(capsys, "train", path, "--fresh")
    assert code == 0 and "run.old-2" in output
    assert (tmp_path / "run.old-2" / "report.md").exists()
    assert records(tmp_path / "run") == records(finished)


def test_play_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean 'agentrl/Maze-v0'?" in refused(capsys, "play", "agentrl/Mase-v0")
    assert "did you mean 'train/1'?" in refused(capsys, "play", "agentrl/Maze-v0", "--task", "tran/1")
    assert refused(capsys, "play", "agentrl/Maze-v0", "--set", "size") == "--set 'size': expected key=value"
    assert "not YAML" in refused(capsys, "play", "agentrl/Maze-v0", "--set", "size=[")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "trian"),
        (["train"], "Missing argument"),
        (["train", "a.yaml", "--fast"], "--fast"),
        (["play", "agentrl/Maze-v0", "--seed", "x"], "seed"),
        (["play", "agentrl/Maze-v0", "--seed", "-1"], "seed"),
    ],
)
def test_usage(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    code, output, errors = run(capsys, *arguments)
    assert (code, output) == (2, "")
    assert message in errors and "Traceback" not in errors


@pytest.mark.parametrize("error", [ZeroDivisionError(), ModuleNotFoundError("no my_env", name="my_env")])
def test_a_bug_is_not_hidden(error: Exception) -> None:
    def buggy(arguments: list[str]) -> None:
        raise error

    with pytest.raises(type(error)):
        main([], run=buggy)


def test_without_the_packages_for_training(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it fails as if it were not installed
    monkeypatch.delitem(sys.modules, "agentrl.trainer.loop", raising=False)
    monkeypatch.delitem(sys.modules, "agentrl.update.distributed", raising=False)
    said = refused(capsys, "train", small_file(tmp_path))
    assert said == "torch is not installed: pip install 'agentrl[train]'"


# -- what works --------------------------------------------------------------------------------------------------------


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    code, output, _ = run(capsys, "--help")
    assert code == 0
    commands = ("train", "eval", "play", "shop", "envs", "algorithms", "credit")
    assert all(command in output for command in commands)
    for command in commands:
        code, output, _ = run(capsys, command, "--help")
        assert code == 0 and "Usage" in output


def test_envs(capsys: pytest.CaptureFixture[str]) -> None:
    code, output, _ = run(capsys, "envs")
    assert code == 0
    assert "train 1,000,000" in output and "valid_unseen 200" in output and "exact" in output
    assert "agentrl/Maze-v0" in output
    assert "agentrl/Household-v0" in output


def test_algorithms(capsys: pytest.CaptureFixture[str]) -> None:
    code, output, _ = run(capsys, "algorithms")
    assert code == 0
    assert "gigpo" in output and "grpo" in output and "arXiv:2505.10978" in output and "gamma=0.95" in output


def test_train_and_eval(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = small_file(tmp_path)
    code, output, _ = run(capsys, "train", path, "--set", "eval.greedy=false", "--set", "warm_start.steps=2")
    assert code == 0 and "warm start: success on valid_unseen" in output
    for name in ("report.md", "learning_curve.png", "metrics.jsonl", "policy/model.safetensors"):
        assert (tmp_path / "run" / name).stat().st_size > 0
        assert str(tmp_path / "run" / name.split("/")[0]) in output
    report = (tmp_path / "run" / "report.md").read_text()
    assert "| result | sampled |" in report and "gigpo on agentrl/Maze-v0" in report
    before = sorted((tmp_path / "run").rglob("*"))
    code, output, _ = run(capsys, "eval", path, "--set", "eval.samples=2")
    assert code == 0
    assert "sampled" in output and "greedy" in output and "pass@2" in output
    assert "report" not in output, "there is none"
    assert sorted((tmp_path / "run").rglob("*")) == before


def test_play(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("fly\n:solution\n1\n"))
    code, output, errors = run(capsys, "play", "agentrl/Maze-v0", "--task", "train/3", "--set", "size=2")
    assert (code, errors) == (0, "")
    assert "train/3" in output and "You are in room" in output and "You cannot do that." in output
    assert output.rstrip().endswith("left"), "the end of the input leaves the game"


def test_shop(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[tuple[int, dict[str, Any]]] = []

    def serve(env: WebShopEnv, **options: Any) -> None:
        served.append((len(env.shop.stock), options))

    monkeypatch.setattr(WebShopEnv, "serve", serve)
    options = ("--task", "train/3", "--port", "0", "--set", "catalogue={products: 40}")
    assert run(capsys, "shop", *options) == (0, "", "")
    assert served == [(40, {"task": "train/3", "host": "127.0.0.1", "port": 0})]
    assert "there-is-no-such-folder" in refused(capsys, "shop", "--data", "there-is-no-such-folder")


def test_without_the_packages_for_the_site(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "agentrl_envs.webshop.site.server", raising=False)
    assert refused(capsys, "shop") == "uvicorn is not installed: pip install 'agentrl[site]'"


@pytest.mark.slow
def test_as_a_program() -> None:
    """The installed command and the module answer the same."""
    for command in ([str(Path(sys.executable).with_name("agentrl"))], [sys.executable, "-m", "agentrl.cli"]):
        done = subprocess.run([*command, "play", "nothing"], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("agentrl: no environment 'nothing'") and done.stderr.count("\n") == 1
