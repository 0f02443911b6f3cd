"""The training loop, top to bottom, and the entry points that launch its processes."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from agentrl.context import named_context, named_protocol
from agentrl.errors import AbortedError, ConfigError, DataError
from agentrl.making import import_env
from agentrl.storage.policy_check import check_policy_folder
from agentrl.trainer.checks.resumption import check_resumption
from agentrl.trainer.config import Config, parse_config
from agentrl.trainer.directory.checkpoint import KINDS, check_checkpoint, choose_checkpoint, latest_checkpoint
from agentrl.trainer.directory.opening import already_there, explained, holds_run, mend, opened
from agentrl.trainer.engine import check_engine
from agentrl.trainer.launch import launch, num_processes
from agentrl.trainer.playing.collect import max_refills
from agentrl.trainer.playing.served import evaluate_served
from agentrl.trainer.run import Run
from agentrl.trainer.setup import check_algorithm, check_directory, check_policy
from agentrl.trainer.world import check_tasks

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


def train(config: Config, checkpoint: Path | None, fresh: bool) -> None:
    """Train in this process, together with its peers. Reads top to bottom."""
    directory = Path(config.run.directory)
    with opened(directory, checkpoint=checkpoint, fresh=fresh) as first, Run(config, resume=first) as run:
        try:
            _go(run)
        except AbortedError:
            run.checkpoint()


def _go(run: Run) -> None:
    """Go through the stages, from wherever the run is."""
    run.evaluate_demonstrator()
    run.warm_start()
    run.evaluate_due()
    while run.progress.iteration < run.config.run.iterations and not run.should_stop():
        rollout = run.collect()
        values = run.evaluate_states(rollout.trajectories)
        credit = run.assign_credit(rollout.trajectories, values)
        metrics = run.update(rollout.trajectories, credit)
        run.record(rollout, credit, metrics)
    if run.should_stop():
        run.checkpoint()
        return
    run.keep_result()
    if run.control():
        run.finish()


def run_training(config: Config, *, resume: bool = False, resume_from: str | None = None, fresh: bool = False) -> int:
    """Check everything that can be checked, launch the processes, return the exit code.

    Args:
      config: of the run.
      resume: go on from the newest checkpoint.
      resume_from: go on from the checkpoint of this name.
      fresh: move a run that is in the directory aside.

    Raises:
      ConfigError: something in the configuration cannot be used, or the directory holds another run.
      CheckpointError: there is nothing to resume, it is damaged, or the configuration would change its numbers.
      DataError: tasks or policy cannot be read.
      LockedError: another trainer writes in the directory.
      DivergedError: loss, gradient or weights are not finite any more; the last sound state is kept.
      StoppedError: something else went wrong; the last good state is kept.
    """
    directory = Path(config.run.directory)
    is_first = os.environ.get("RANK", "0") == "0"  # under torchrun every process comes by here
    if is_first:
        mend(directory)
    checkpoint = None
    if resume or resume_from:
        checkpoint, is_complete = _resumed(config, resume_from, say=print if is_first else lambda text: None)
        if is_complete:
            return 0
    elif is_first and not fresh and holds_run(directory):
        raise already_there(directory)
    _check(config)
    if checkpoint is None:
        check_policy(config)
    check_directory(directory)
    try:
        launch(train, (config, checkpoint, fresh), num_processes(config))
    except ModuleNotFoundError:  # says what to install
        raise
    except Exception as error:
        raise explained(error, directory) from error
    final = latest_checkpoint(directory / "checkpoints")
    if final is not None and final.name.startswith(KINDS["done"]):
        return 0
    if is_first:
        print(f"saved in {directory}; continue with --resume" if final else "stopped before anything was saved")
    return INTERRUPTED


def _resumed(config: Config, name: str | None, say: Callable[[str], None]) -> tuple[Path, bool]:
    """Return the checkpoint that the run goes on from, and whether nothing of it is left to do."""
    directory = Path(config.run.directory)
    checkpoint = choose_checkpoint(directory / "checkpoints", name)
    state = check_checkpoint(checkpoint)
    changes = check_resumption(state, config)
    if state.progress.stage == "done" and state.progress.iteration >= config.run.iterations:
        say(f"the run in {directory} is complete: see {directory / 'report.md'}")
        return checkpoint, True
    say(f"going on from {checkpoint}")
    for change in changes:
        say(f"  changed: {change}")
    return checkpoint, False


def _check(config: Config) -> None:
    """Look at what training and evaluation need before processes are started."""
    import_env(config.env.id)  # it may register protocols and contexts
    named_context(config.context.kind)
    named_protocol(config.context.protocol)
    check_engine(config)
    max_refills(config, check_algorithm(config))
    check_tasks(config)


def run_evaluation(config: Config, policy: str | None, *, out: Path | None = None) -> int:
    """Evaluate a policy folder, or the final policy of the configured run, print the table, return the exit code.

    Args:
      config: of the run.
      policy: the folder; None for the run's final policy.
      out: a JSON file for the numbers, beside what was evaluated.

    With ``engine.kind`` openai it is the model that a server has: see `agentrl.trainer.playing.served`.

    Raises:
      DataError: there is no such policy, or no folder for ``out``.
    """
    if out is not None and not out.parent.is_dir():
        raise DataError(f"no folder {out.parent} for {out.name}: make it, or choose another --out")
    if config.engine.kind == "openai":
        if policy:
            raise ConfigError("engine.kind openai evaluates what the server has, engine.model: leave the policy out")
        evaluate_served(config, out)
        return 0
    path = policy or str(Path(config.run.directory) / "policy")
    if not policy and not Path(path).exists():
        raise DataError(f"no policy in {path}: train one first, or name another with --policy")
    check_policy_folder(path)
    _check(config)
    with tempfile.TemporaryDirectory() as scratch:
        changes = {"policy": {"path": path}, "run": {"directory": scratch, "iterations": 0}, "warm_start": {"steps": 0}}
        tree = config.model_dump(mode="json")
        for section, values in changes.items():
            tree[section].update(values)
        try:
            launch(_evaluate, (parse_config(tree), out), num_processes(config))
        except AbortedError:
            return INTERRUPTED
    return 0


def _evaluate(config: Config, out: Path | None) -> None:
    from agentrl.trainer.directory.report import results_table, write_evaluation

    with Run(config) as run:
        modes = run.evaluate("policy")
        run.log.console.print(results_table(run.progress))
        if out is not None and run.log.is_active:
            write_evaluation(out, config, config.policy.path or "", modes)
