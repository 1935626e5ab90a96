"""Tidemark: mailbox changes from Gmail and Microsoft Graph, appended to a log that never loses a message."""
