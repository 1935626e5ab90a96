"""Microsoft Graph: delta chains as cursors, batches, messages as values."""
