"""Whether the tests would notice: small faults are put into core, protocol and sync, one at a time. make mutants."""
