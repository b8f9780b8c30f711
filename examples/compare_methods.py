"""Five ways of pruning a small network, over three seeds, as tables and as a page."""

import fewer


def show_progress(done, total, cell):
    print(f"[{done + 1}/{total}] {cell.arm} at density {cell.budget:g}, seed {cell.seed}", flush=True)


results = fewer.compare(
    "magnitude",
    "wanda",
    "sparsegpt",  # moves the weights it keeps, so its own random twin comes with it
    task="digits",
    budgets=[0.3, 0.1],
    seeds=3,
    folder="runs/digits",  # started again, it goes on where it was cut off
    progress=show_progress,
)
results.show()
gain = results.versus("sparsegpt", "random:sparsegpt", 0.1, results.primary)
print(f"sparsegpt beside its twin at density 0.1: {gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}] {results.primary}")
print("Page:", results.html("runs/digits/report.html"))
