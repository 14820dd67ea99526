"""Tests of the test-side tools themselves."""
