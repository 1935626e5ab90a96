"""Gmail: history as a cursor, batches as bytes, messages as values."""
