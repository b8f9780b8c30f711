"""Feedback and fusion: queries that learn from what they found, and lists of two kinds made one."""
