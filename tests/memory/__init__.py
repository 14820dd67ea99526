"""Tests of memory planning: programs, planners, verifier, drawings."""
