"""All I/O: the only modules that talk to providers, Redis and clocks."""
