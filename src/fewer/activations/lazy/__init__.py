"""How few hidden units of a network fire, and MLPs in which just the largest do."""
