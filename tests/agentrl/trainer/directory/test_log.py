"""What a run writes down."""

import io
import json
from pathlib import Path

import pytest
import yaml
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agentrl.trainer.config import parse_config
from agentrl.trainer.directory.log import RunLog
from agentrl.trainer.directory.metrics import read_metrics
from tests.agentrl.trainer.tiny import tiny_config


def test_records(tmp_path: Path) -> None:
    config = tiny_config(tmp_path)
    log = RunLog(tmp_path / "run")
    log.begin(config)
    log.record("warm_start", 10, {"loss": 0.5})
    log.record("reinforce", 1, {"success": 0.25, "loss": -0.125})
    log.close()
    assert read_metrics(tmp_path / "run") == [
        {"stage": "warm_start", "index": 10, "loss": 0.5},
        {"stage": "reinforce", "index": 1, "success": 0.25, "loss": -0.125},
    ]
    assert len(log.metrics.lines) == 2
    assert parse_config(yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())) == config
    versions = json.loads((tmp_path / "run" / "versions.json").read_text())
    assert versions["packages"]["torch"].startswith("2.") and len(versions["git_commit"]) in (0, 40)
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    assert sorted(events.Tags()["scalars"]) == ["reinforce/loss", "reinforce/success", "warm_start/loss"]
    [event] = events.Scalars("reinforce/success")
    assert (event.step, event.value) == (1, 0.25)


def test_curves_are_drawn_once(tmp_path: Path) -> None:
    """What came after the checkpoint, and what was not flushed before a kill, is right after a resumption."""
    first = RunLog(tmp_path)
    first.begin(tiny_config(tmp_path))
    for index in (1, 2, 3):
        first.record("reinforce", index, {"success": index / 4, "elapsed_s": float(index)})
    second = RunLog(tmp_path)
    second.begin(tiny_config(tmp_path), first.metrics.lines[:2], "a checkpoint")
    second.record("reinforce", 3, {"success": 0.5, "elapsed_s": 3.0})
    second.close()
    first.close()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload().Scalars("reinforce/success")
    assert [(event.step, event.value) for event in events] == [(1, 0.25), (2, 0.5), (3, 0.5)]
    assert events[1].wall_time - events[0].wall_time == pytest.approx(1, abs=1e-3)


def test_versions_of_earlier_sessions_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("old", "old", "new"):
        monkeypatch.setattr("agentrl.trainer.directory.log.describe_machine", lambda name=name: {"python": name})
        log = RunLog(tmp_path)
        log.begin(tiny_config(tmp_path))
        log.close()
    assert json.loads((tmp_path / "versions.json").read_text()) == {"python": "new", "earlier": [{"python": "old"}]}


def test_lines_are_printed_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.StringIO()
    log = RunLog(tmp_path, Console(file=text, markup=False, highlight=False, width=20))
    log.say("KeyError: '[/red]' in a long path /a/b/c/d/e/f")
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    log.progress("one")
    now[0] += 1
    log.progress("too soon")
    log.progress("forced", force=True)
    now[0] += 6
    log.progress("two")
    assert text.getvalue().splitlines() == ["KeyError: '[/red]' in a long path /a/b/c/d/e/f", "one", "forced", "two"]
