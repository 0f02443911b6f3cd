"""Configurations, overrides and files drawn at random: taken, or refused in one line."""

import os
import random
from pathlib import Path

import pytest
import yaml

from agentrl.trainer import loop
from agentrl.trainer.config import load_config, parse_config
from tests.fuzz import values
from tests.fuzz.attempt import Tally, call

MANY = int(os.environ.get("AGENTRL_FUZZ_CASES", "5000"))


def attack(tmp_path: Path, number: int, seed: str) -> Tally:
    """Try as many configurations; a third as trees, a third as damaged files, a third by overrides."""
    tally, path = Tally(), tmp_path / "run.yaml"
    text = Path("examples/quickstart.yaml").read_bytes()
    for case in range(number):
        rng = random.Random(f"{seed}-{case}")
        kind = case % 3
        if kind == 0:
            tree = values.configuration(rng, tmp_path / "run")
            end = call(lambda tree=tree: loop._check(parse_config(tree)))
        elif kind == 1:
            path.write_bytes(values.damage(rng, text))
            end = call(lambda: load_config(path))
        else:
            override = _override(rng)
            end = call(lambda override=override: load_config(Path("examples/quickstart.yaml"), [override]))
        tally.add(end, f"{seed}-{case}")
    return tally


def _override(rng: random.Random) -> str:
    key = rng.choice(values.KEYS)[0] if rng.random() < 0.8 else str(values.scalar(rng))
    try:
        content = yaml.safe_dump(values.value(rng), default_flow_style=True).strip()
    except (yaml.YAMLError, TypeError):  # keys of several types cannot be sorted
        content = "["
    if rng.random() < 0.2:
        content = values.damage(rng, content.encode(errors="replace")).decode(errors="surrogateescape")
    return f"{key}{rng.choice(('=', '=', '=', '', '==', '.x='))}{content}"


def test_some_configurations(tmp_path: Path) -> None:
    tally = attack(tmp_path, 150, "some")
    assert not tally.faults, tally.faults


@pytest.mark.slow
def test_many_configurations(tmp_path: Path) -> None:
    tally = attack(tmp_path, MANY, "many")
    print(f"{MANY:,} configurations: {tally}")
    assert not tally.faults, tally.faults
