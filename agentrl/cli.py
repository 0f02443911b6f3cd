"""The command line: ``agentrl train | eval | play | shop | envs | algorithms | credit | view``."""

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agentrl.errors import AgentrlError, ConfigError, DataError

app = typer.Typer(
    name="agentrl",
    help="Reinforcement learning for language-model agents that act over many turns.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

TRAINING_PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "matplotlib", "tensorboard", "jinja2")
SITE_PACKAGES = ("starlette", "uvicorn")

Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="override a key: section.key=value (YAML); may be repeated")
]
ConfigPath = Annotated[Path, typer.Argument(help="a YAML configuration, e.g. examples/quickstart.yaml")]


@app.command()
def train(
    config: ConfigPath,
    overrides: Overrides = None,
    resume: Annotated[bool, typer.Option(help="continue the run in run.directory from its last checkpoint")] = False,
    resume_from: Annotated[
        str, typer.Option(help="continue from this checkpoint, e.g. iteration-000025; newer ones are set aside")
    ] = "",
    fresh: Annotated[bool, typer.Option(help="move an existing run in run.directory aside and start anew")] = False,
) -> None:
    """Train a policy: supervised warm start, then reinforcement learning, then a report.

    Ctrl-C gives up what is being played, saves, and says how to resume; a second Ctrl-C stops at once.
    """
    from agentrl.trainer.config import load_config
    from agentrl.trainer.loop import run_training

    raise typer.Exit(
        run_training(load_config(config, overrides or ()), resume=resume, resume_from=resume_from or None, fresh=fresh)
    )


@app.command("eval")
def evaluate(
    config: ConfigPath,
    policy: Annotated[str, typer.Option(help="folder of a trained policy; default: the run's final one")] = "",
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option(help="a JSON file for the numbers")] = None,
) -> None:
    """Evaluate a policy on a held-out split: avg@k, pass@k, greedy, with 95 % intervals."""
    from agentrl.trainer.config import load_config
    from agentrl.trainer.loop import run_evaluation

    raise typer.Exit(run_evaluation(load_config(config, overrides or ()), policy or None, out=out))


@app.command()
def play(
    env_id: Annotated[str, typer.Argument(help="id of the environment: see `agentrl envs`")],
    task: Annotated[str, typer.Option(help="task id; default: drawn from the split by the seed")] = "",
    seed: Annotated[int, typer.Option(min=0, help="seed of the episode")] = 0,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="argument of the environment: key=value (YAML); may be repeated")
    ] = None,
) -> None:
    """Play an environment yourself in the terminal, with the admissible actions listed."""
    from agentrl.making import make
    from agentrl.play import play as play_env
    from agentrl.trainer.config import parse_override

    arguments = dict(parse_override(item) for item in overrides or ())
    play_env(make(env_id, **arguments), task=task or None, seed=seed)


@app.command()
def shop(
    task: Annotated[str, typer.Option(help="task id, for all visitors; default: each visitor gets one drawn")] = "",
    data: Annotated[Path | None, typer.Option(help="folder of WebShop's files; default: a generated catalogue")] = None,
    host: Annotated[str, typer.Option(help="address to listen at; 0.0.0.0 lets other machines in")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free one")] = 8000,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="argument of the environment: key=value (YAML); may be repeated")
    ] = None,
) -> None:
    """Open the web shop as a site for people: search, compare, buy, and see the score and what was missed."""
    from agentrl.making import make
    from agentrl.play import HasSite
    from agentrl.trainer.config import parse_override

    arguments = dict(parse_override(item) for item in overrides or ()) | ({"data": str(data)} if data else {})
    env = make("agentrl/WebShop-v0", **arguments)
    if not isinstance(env, HasSite):
        raise ConfigError(f"agentrl/WebShop-v0 is {type(env).__name__}, which has no site to serve")
    env.serve(task=task or None, host=host, port=port)


@app.command()
def envs() -> None:
    """List the installed environments, their splits and how they are snapshotted."""
    import agentrl  # noqa: F401  loads the plug-ins
    from agentrl import registry
    from agentrl.making import make

    table = _table("environment", "tasks", "turns", "snapshots", "what", title="Environments")
    for env_id in registry.registered():
        try:
            env = make(env_id)
        except AgentrlError as error:  # it needs arguments, or is broken: the others are listed all the same
            table.add_row(env_id, "", "", "", escape(str(error)))
            continue
        splits = "\n".join(f"{name} {len(ids):,}" for name, ids in env.tasks.splits.items())
        what = next(iter((type(env).__doc__ or "").strip().splitlines()), "")
        table.add_row(env_id, splits, str(env.max_turns), str(env.snapshot_level), what)
    Console().print(table)


@app.command()
def algorithms() -> None:
    """List the installed algorithms with paper, options and test."""
    from agentrl.algorithms.base import recipes

    table = _table("name", "what, paper and test", "options (default)", title="Algorithms")
    for name, recipe in sorted(recipes().items()):
        options = "\n".join(f"{key}={field.default!r}" for key, field in recipe.model_fields.items())
        table.add_row(name, f"{recipe.title}\n{recipe.paper}\n{recipe.test}", options)
    Console().print(table)


@app.command("credit")
def study_credit(
    run: Annotated[Path, typer.Argument(help="directory of a run with stored trajectories")],
    estimators: Annotated[str, typer.Option(help="algorithms to compare, separated by commas")] = "grpo,gigpo,salt",
    iteration: Annotated[int | None, typer.Option(help="which stored iteration; default: the newest")] = None,
    output: Annotated[Path | None, typer.Option(help="where the PNG goes; default: RUN/credit.png")] = None,
) -> None:
    """Compare what a run's episodes would have earned under several estimators: tables and a picture."""
    from agentrl.lab import credit_study

    chosen, trajectories = credit_study.load_episodes(run, iteration)
    names = [name.strip() for name in estimators.split(",")]
    study = credit_study.study_credit(trajectories, names)
    path = output or run / "credit.png"
    if not path.parent.is_dir():
        raise DataError(f"no folder {path.parent} for {path.name}: make it, or choose another --output")
    credit_study.plot_study(study, path)
    console = Console()
    console.print(f"iteration {chosen} of {run}")
    for table in credit_study.study_tables(study):
        console.print(table)
    console.print(f"picture: {path}")


@app.command()
def view(
    run: Annotated[Path, typer.Argument(help="directory of a run with stored trajectories")],
    iteration: Annotated[int | None, typer.Option(help="which stored iteration; default: the newest")] = None,
    group: Annotated[str, typer.Option(help="show this group only: its name, or its number in the iteration")] = "",
    out: Annotated[Path | None, typer.Option(help="where the page goes; default: RUN/index.html")] = None,
    png: Annotated[
        Path | None, typer.Option(help="also draw one group's forest: --group, or the most branched")
    ] = None,
) -> None:
    """Write one static HTML page of a run's episodes: forests, turns, entropies, advantages, anchor states."""
    from agentrl.viewer.run import view_run

    for path in view_run(run, iteration=iteration, group=group or None, out=out, png=png):
        Console().print(f"written: {path}", soft_wrap=True)


def _table(first: str, *others: str, title: str) -> Table:
    """Return a table that folds long cells instead of cutting them off, but for the first column."""
    table = Table(title=title, show_lines=True)
    table.add_column(first, no_wrap=True)
    for other in others:
        table.add_column(other, overflow="fold")
    return table


def main(arguments: list[str] | None = None, run: Callable[..., Any] = app) -> None:
    """Entry point: an error that agentrl raises on purpose is one line on standard error and exit code 2."""
    if arguments is None:
        os.environ["PYTHONSAFEPATH"] = "1"  # processes that are started do not look into the current folder first
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # a path need not be text
    try:
        run(arguments)
    except AgentrlError as error:
        _refuse(str(error))
    except OSError as error:  # a full disk, a folder that may not be written to, a closed pipe
        _refuse(f"{error.filename or 'input or output'}: {error.strerror or error}")
    except MemoryError as error:
        _refuse(f"not enough memory{f': {error}' if str(error) else ''}")
    except ModuleNotFoundError as error:
        if error.name not in TRAINING_PACKAGES + SITE_PACKAGES:
            raise
        extra = "site" if error.name in SITE_PACKAGES else "train"
        _refuse(f"{error.name} is not installed: pip install 'agentrl[{extra}]'")


def _refuse(message: str) -> None:
    print(f"agentrl: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
