"""``pytest --newest`` reports what other packages deprecate, and stops at what our own modules cause."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CASES = {
    "theirs_deprecation": ("elsewhere.part", "DeprecationWarning"),
    "theirs_future": ("elsewhere.part", "FutureWarning"),
    "theirs_runtime": ("elsewhere.part", "RuntimeWarning"),
    "ours_future": ("agentrl.update.batch", "FutureWarning"),
    "ours_deprecation": ("agentrl_envs", "DeprecationWarning"),
}


@pytest.mark.parametrize(("options", "passing"), [([], set()), (["--newest"], {"theirs_deprecation", "theirs_future"})])
def test_whose_warnings_are_errors(tmp_path: Path, options: list[str], passing: set[str]) -> None:
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    tests = [
        f"def test_{name}():\n    code = \"import warnings; warnings.warn('{name}', {category})\"\n"
        f"    exec(code, {{'__name__': '{module}'}})\n"
        for name, (module, category) in CASES.items()
    ]
    (tmp_path / "test_case.py").write_text("\n".join(tests))
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in ("", "envs", "tools"))}
    command = [sys.executable, "-m", "pytest", "-rA", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path)]
    done = subprocess.run([*command, *options, str(tmp_path)], capture_output=True, text=True, env=environ, check=False)
    assert set(re.findall(r"^PASSED \S*::test_(\w+)", done.stdout, re.MULTILINE)) == passing, done.stdout + done.stderr
    assert set(re.findall(r"^FAILED \S*::test_(\w+)", done.stdout, re.MULTILINE)) == set(CASES) - passing
    assert all(f"Warning: {name}" in done.stdout for name in CASES)  # reported in any case
