"""The stand of tests/functions, and what counts as said too much."""

from tests.functions.conftest import gmail, gmail_session, stand, stand_session, stand_with

__all__ = ["gmail", "gmail_session", "stand", "stand_session", "stand_with"]
