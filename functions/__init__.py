"""One file per deployed function: parse, wire, run, respond, nothing else."""
