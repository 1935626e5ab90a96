"""The adapters against real HTTP: stand-ins on loopback, never mocks of our own code."""
