"""Use cases over ports: what happens when something wakes us."""
