"""The real functions, killed by SIGKILL at every step of their I/O (make crash)."""
