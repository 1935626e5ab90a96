"""`make bench`: Tidemark beside its peers, on the same stand-in, in the same minutes."""
