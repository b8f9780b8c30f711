"""Adds, deletes, seals and merges until it is killed; says what was acknowledged, line by line. Run by test_store_crash.py."""

import sys

from small_store import ASK_ALL, add

import fewer.retrieval.store.store as module
from fewer.retrieval.index.exact import ExactIndex


def main(folder, what, first):
    module.SEALED_AT = 7 if what == "add" else 40
    store = module.Store.open(folder)
    ExactIndex.build(ASK_ALL).vectors()  # its kernels are compiled now, not while the clock runs
    print("ready", flush=True)
    for number in range(first, first + 100_000):
        add(store, {f"d{number}": {number % 12: 1.0 + number % 50}, "same": {0: float(number % 1000 + 1)}})
        print(f"added {number}", flush=True)
        if number % 5 == 4:
            print(f"deleting {number - 2}", flush=True)
            store.delete([f"d{number - 2}"])
            print(f"deleted {number - 2}", flush=True)
        if what == "merge":
            store.merge()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
