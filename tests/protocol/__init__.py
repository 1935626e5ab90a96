"""Sans-I/O protocols: what is asked and what an answer means, without a network."""
