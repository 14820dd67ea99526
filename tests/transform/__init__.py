"""Tests of the graph passes: what each rewrites, what it must leave alone, and that no tensor changes."""
