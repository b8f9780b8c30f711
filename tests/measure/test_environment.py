import json
import platform
import subprocess
import sys
import time
from pathlib import Path

import fewer
from fewer.measure.environment import environment


def test_it_is_json_and_says_what_ran():
    found = json.loads(json.dumps(environment()))
    assert found["python"] == platform.python_version()
    assert found["versions"]["fewer"] == fewer.__version__
    assert found["processor"] and found["cores"] >= 1 and found["threads"] >= 1 and found["memory_bytes"] > 2**28


def test_it_names_no_user_host_or_path():
    text = json.dumps(environment())
    private = [platform.node(), str(Path.home()), str(Path(fewer.__file__).parent), str(Path.cwd())]
    assert not [word for word in private if len(word) > 3 and word in text]


def test_an_installed_copy_has_no_commit(tmp_path, monkeypatch):
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    package = tmp_path / "site-packages" / "fewer"
    package.mkdir(parents=True)
    monkeypatch.setattr(fewer, "__file__", str(package / "__init__.py"))
    assert environment()["commit"] is None


def test_it_is_fast():
    environment()
    began = time.process_time()
    environment()
    assert time.process_time() - began < 0.3


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, fewer.measure; print([m for m in ('torch', 'scipy', 'numpy', 'torchmetrics') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_can_be_loaded():
    import fewer.measure

    assert sorted(fewer.measure._HOME) == sorted(fewer.measure.__all__)
    assert all(getattr(fewer.measure, name).__name__ == name for name in fewer.measure.__all__)
