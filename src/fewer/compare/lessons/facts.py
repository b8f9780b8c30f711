"""The contract with tasks: the numbers that the card reads from a row."""

FACTS = {
    "small_dense": "primary quality of a dense net with at most as many weights, same depth, recipe, epochs and seed (1, 10)",
    "macs_active": "multiply-adds a sample that the masks leave in a forward pass (2)",
    "macs_dense": "the same of the dense network (2)",
    "latency_ms": "median time of the kernel that the arm claims (2)",
    "latency_ms_dense": "median time of the dense network, in the same rounds (2)",
    "simulated": "1 when that kernel multiplies by a mask and skips nothing (2)",
    "peak_density": "most weights active at any time / all weights (3)",
    "train_macs": "multiply-adds of all training steps of all phases, dense ones included (4)",
    "train_macs_dense": "the same of the dense run (4)",
    "memory_peak": "most bytes of parameters, optimiser state and masks at any time (4)",
    "memory_peak_dense": "the same of the dense run (4)",
    "r_itop": "share of positions that were ever active (5)",
    "churn": "mean over renewals of |M_t xor M_(t-1)| / (2A); 0 if there are none (5)",
    "random_same_ratios": "primary quality of random masks with the same count in each layer, same seed (7)",
    "random_uniform": "primary quality of random masks with the same density in each layer, same seed (7)",
    "dense_equal_epochs": "primary quality of the dense network trained for as many epochs, same seed (8, 10)",
    "at_equal_flops": "primary quality of the arm with its sparse epochs x dense / active weights, at most x 4 (8)",
    "dense_at_equal_flops": "primary quality of the dense run that this is held against (8)",
    "ece": "expected calibration error over 15 equal bins (9)",
    "nll": "negative log-likelihood, nats (9)",
    "robust": "accuracy under noise of standard deviation 0.1 of the input's range (9)",
    "worst_class": "accuracy of the worst class or group (9)",
    "nominal_density": "active weights / maskable weights (10)",
    "total_density": "(active + never masked) / all parameters (10)",
    "effective_density": "active weights on a path from input to output / maskable weights (10)",
}
"""Name -> meaning, for `detail["facts"]` of a `Row`: one number each, all optional.

A fact that is not there is looked for among the row's qualities and costs; one that ends in `_dense`, or is subtracted
from (item 9), in the dense arm's row of the same seed. Where the two facts of item 7 are not given it takes the arm's twin,
or a plain random arm of its pattern whose `layers` have the same densities. `detail["detected"]` may hold
{layer: `fewer.core.detect` of its mask} (item 2).
"""
