"""Tests of shared/protocol/graph."""
