"""The contract's HTTP surface, over real HTTP: what is asked for, and what is answered."""
