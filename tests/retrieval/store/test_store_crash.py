"""kill -9 while a process adds or merges: the store opens, and every acknowledged document is there and found.

`python tests/retrieval/store/test_store_crash.py 50` kills so many times.
"""

import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from small_store import create, everything

from fewer.retrieval.store.store import Store

HERE = Path(__file__).parent


def killed(folder, what, first, seconds):
    """Lines that the writer printed before it was killed, `seconds` after it began to work."""
    command = [sys.executable, str(HERE / "crashing_writer.py"), str(folder), what, str(first)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as writer:
        assert writer.stdout.readline() == "ready\n", writer.stderr.read()
        threading.Timer(seconds, writer.send_signal, [signal.SIGKILL]).start()
        lines = [line.split() for line in writer.stdout if line.endswith("\n")]
    assert writer.returncode == -signal.SIGKILL, writer.stderr
    return lines


def kill_again_and_again(folder, times, seed):
    """Returns how many documents were acknowledged, and how many kills tore a record or left a half-made file."""
    chance = random.Random(seed)
    create(folder).close()
    alive, maybe_gone, first, same, acknowledged, torn = set(), set(), 0, None, 0, 0
    for kill in range(times):
        lines = killed(folder, ("add", "merge")[kill % 2], first, chance.uniform(0.02, 0.4))
        for what, number in lines:
            if what == "added":
                alive.add(int(number))
                acknowledged += 1
            elif what == "deleting":
                maybe_gone.add(int(number))
            else:
                alive.discard(int(number))
        added = [int(number) for what, number in lines if what == "added"]
        last = max(added, default=first - 1)
        leftovers = {path.name for path in folder.iterdir()}
        with Store.open(folder) as store:
            found = everything(store)
            leftovers -= {path.name for path in folder.iterdir()}
            torn += bool(store.torn or leftovers)
            held = {int(name[1:]) for name in found if name != "same"}
            # At most one call was under way: its documents may be there or not.
            assert alive - maybe_gone <= held <= alive | {last + 1}, (
                kill,
                sorted((alive - maybe_gone) - held),
                sorted(held - alive),
            )
            assert not (maybe_gone - alive) & held
            assert all(found[f"d{number}"] == 1.0 + number % 50 for number in held)
            assert found.get("same") in (float(last % 1000 + 1) if added else same, float((last + 1) % 1000 + 1))
            same = found.get("same")
            assert all(store.document(f"d{number}").text == f"d{number}" for number in list(held)[-50:])
        alive, maybe_gone, first = held, set(), last + 2
    return acknowledged, torn


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_every_acknowledged_document_outlasts_kill_9(tmp_path):
    acknowledged, _ = kill_again_and_again(tmp_path / "store", times=4, seed=0)
    assert acknowledged > 20


if __name__ == "__main__":
    import tempfile

    times, began = int(sys.argv[1]), time.time()
    acknowledged, torn = kill_again_and_again(Path(tempfile.mkdtemp()) / "store", times, seed=1)
    print(
        f"{times} kills, {acknowledged} documents acknowledged, none lost, {torn} kills left something torn or unfinished; "
        f"{time.time() - began:.0f} s"
    )
