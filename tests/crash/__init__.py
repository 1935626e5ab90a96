"""The real functions in real processes, killed at every step of their I/O: make crash."""
