"""`make run`: the whole of Tidemark on this machine, with stand-ins for the providers, and a report of what it did."""
