"""Indexes on disk: one file format for all kinds, and a store whose documents come and go."""
