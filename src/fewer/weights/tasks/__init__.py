"""Tasks on which methods for weights are compared."""
