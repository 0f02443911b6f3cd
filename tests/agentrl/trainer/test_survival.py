"""A part of the kill and damage suite; ``python benchmarks/survival.py`` is all of it."""

import json
import os
import subprocess
import sys

import pytest

from tests.agentrl.trainer.tiny import ROOT


@pytest.mark.slow
def test_nothing_is_lost_unsaid() -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "envs")))}
    command = [sys.executable, "benchmarks/survival.py", "--kills", "9", "--full-disks", "6", "--seed", "1"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["full_disks"] >= 4 and figures["damages"] >= 40
    wrong = ("rows_lost_unsaid", "trajectories_lost", "trained_twice", "runs_unequal", "not_resumed")
    assert {kind: figures[kind] for kind in (*wrong, "damage_believed", "left_over")} == dict.fromkeys(
        (*wrong, "damage_believed", "left_over"), 0
    ), done.stdout
