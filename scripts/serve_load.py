"""A server under load: many clients search while others add and delete; then nothing may be lost, and no answer an error.

python scripts/serve_load.py [--requests 2000] [--clients 32] [--encoder bm25]

Indexes Python's documentation, serves it with `fewer serve` on the loopback, and asks from this process: client and server
share the machine, so the times are those of a busy one. Prints JSON; the exit code is 1 when something was lost.
"""

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import numpy as np

from fewer.retrieval.texts.build import build, first_words
from fewer.retrieval.texts.sources import read


def main() -> int:
    """Run, print, and say whether all went well."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--encoder", default="bm25")
    parser.add_argument("--kind", default="auto")
    asked = parser.parse_args()
    source = read(None)
    questions = [
        first for document in source.documents if len(re.findall(r"[a-z]{4,}", first := first_words(document.text))) > 3
    ]
    queries = random.Random(0).sample(questions, 500)
    with tempfile.TemporaryDirectory() as folder:
        built = build(source, Path(folder, "index"), asked.encoder, None, asked.kind)
        code = "from fewer.cli import main; main()"
        command = [sys.executable, "-c", code, "serve", str(built.folder), "--port", "0"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
            assert server.stderr is not None
            address = next(line for line in server.stderr if line.startswith("http")).split()[0]
            try:
                found = load(address, queries, asked.requests, asked.clients)
                found["lost"], found["kept_deleted"] = check(address, found.pop("added"), found.pop("deleted"))
            finally:
                server.terminate()
    print(json.dumps({"documents": built.documents, "kind": built.kind, "encoder": asked.encoder} | found, indent=2))
    return int(bool(found["lost"] or found["kept_deleted"] or found["errors"]))


def load(address: str, queries: list[str], requests: int, clients: int) -> dict:
    """A tenth of the requests add a document, a twentieth delete one that was added; all others search."""
    seconds: dict[str, list[float]] = {"search": [], "add": [], "delete": []}
    errors: Counter[str] = Counter()
    added: set[str] = set()
    deleted: set[str] = set()
    numbers = iter(range(requests))
    lock = threading.Lock()

    def client() -> None:
        with httpx.Client(base_url=address, timeout=60) as http:
            own: list[str] = []
            while True:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                turn = number % 20
                kind = "delete" if turn == 0 and own else "add" if turn in (5, 10) else "search"
                began = time.perf_counter()
                if kind == "add":
                    name = f"added-{number}"
                    body = {"documents": [{"id": name, "text": f"{queries[number % len(queries)]} number {number}"}]}
                    answer = http.post("api/documents", json=body)
                    if answer.status_code == 201:
                        own.append(name)
                        added.add(name)
                elif kind == "delete":
                    name = own.pop()
                    answer = http.delete(f"api/documents/{name}")
                    deleted.add(name)
                else:
                    answer = http.post("api/search", json={"query": queries[number % len(queries)]})
                seconds[kind].append(time.perf_counter() - began)
                if answer.status_code >= 400:
                    errors[f"{kind}: {answer.status_code} {answer.text[:100]}"] += 1

    began = time.perf_counter()
    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - began
    return {
        "requests": requests,
        "clients": clients,
        "seconds": took,
        "per_second": requests / took,
        "milliseconds": {
            kind: {"n": len(all_of), **{f"p{q}": float(np.percentile(all_of, q)) * 1e3 for q in (50, 99)}}
            for kind, all_of in seconds.items()
            if all_of
        },
        "errors": dict(errors),
        "added": added,
        "deleted": deleted,
    }


def check(address: str, added: set[str], deleted: set[str]) -> tuple[list[str], list[str]]:
    """Documents that should be there and are not, and the other way round."""
    with httpx.Client(base_url=address, timeout=60) as http:
        there = {name for name in added if http.get(f"api/documents/{name}").status_code == 200}
    return sorted(added - deleted - there), sorted(deleted & there)


if __name__ == "__main__":
    sys.exit(main())
