"""Values and pure decisions. Imports nothing of Tidemark; time and randomness are arguments."""
