"""Gmail as bytes and values: batches, refusals, messages, history."""
