"""The training loop, top to bottom, and the entry points that launch its processes."""

import os
import shutil
import tempfile
from pathlib import Path

from agentrl.context import named_protocol
from agentrl.errors import AbortedError, CheckpointError, ConfigError, DataError
from agentrl.policy_check import check_policy_folder
from agentrl.trainer.checkpoint import latest_checkpoint, load_progress
from agentrl.trainer.collect import max_refills
from agentrl.trainer.config import Config, config_digest, num_processes, parse_config
from agentrl.trainer.engine import check_engine
from agentrl.trainer.launch import launch
from agentrl.trainer.run import Run
from agentrl.trainer.setup import check_algorithm, check_directory, check_policy, check_tasks

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


def train(config: Config, resume: bool) -> None:
    """Train in this process, together with its peers. Reads top to bottom."""
    with Run(config, resume=resume) as run:
        try:
            _go(run)
        except AbortedError:
            run.keep_place()


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
        run.keep_place()
        return
    run.keep_result()
    if run.control():
        run.finish()


def run_training(config: Config, *, resume: bool = False, fresh: bool = False) -> int:
    """Check everything that can be checked, launch the processes, return the exit code.

    Raises:
      ConfigError: something in the configuration cannot be used, or the directory holds another run.
      CheckpointError: there is nothing to resume, or it is of another configuration.
      DataError: tasks or policy cannot be read.
    """
    directory = Path(config.run.directory)
    checkpoint = latest_checkpoint(directory / "checkpoints")
    if resume and checkpoint is None:
        raise CheckpointError(f"nothing to resume: {directory} holds no checkpoint; start without --resume, or --fresh")
    if resume and checkpoint is not None and load_progress(checkpoint, config_digest(config)).stage == "done":
        print(f"the run in {directory} is complete: see {directory / 'report.md'}")
        return 0
    _check(config)
    check_policy(config)
    is_first = os.environ.get("RANK", "0") == "0"  # under torchrun every process comes by here
    if not resume and is_first and (checkpoint or (directory / "metrics.jsonl").exists()):
        if not fresh:
            raise ConfigError(
                f"{directory} holds a run already: --resume continues it, --fresh moves it aside, "
                "--set run.directory=... starts another"
            )
        _move_aside(directory)
    check_directory(directory)
    launch(train, (config, resume), num_processes(config))
    final = latest_checkpoint(directory / "checkpoints")
    if final is not None and load_progress(final, config_digest(config)).stage == "done":
        return 0
    if is_first:
        print(f"saved in {directory}; continue with --resume" if final else "stopped before anything was saved")
    return INTERRUPTED


def _check(config: Config) -> None:
    """Look at what training and evaluation need before processes are started."""
    check_engine(config)
    max_refills(config, check_algorithm(config))
    named_protocol(config.context.protocol)
    check_tasks(config)


def _move_aside(directory: Path) -> None:
    number = 1
    while (aside := directory.with_name(f"{directory.name}.old-{number}")).exists():
        number += 1
    shutil.move(directory, aside)
    print(f"moved the run that was in {directory} to {aside}")


def run_evaluation(config: Config, policy: str | None) -> int:
    """Evaluate a policy folder, or the final policy of the configured run, print the table, return the exit code.

    Raises:
      DataError: there is no such policy.
    """
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
            launch(_evaluate, (parse_config(tree),), num_processes(config))
        except AbortedError:
            return INTERRUPTED
    return 0


def _evaluate(config: Config) -> None:
    from agentrl.trainer.report import results_table

    with Run(config, resume=False) as run:
        run.evaluate("policy")
        run.log.console.print(results_table(run.progress))
