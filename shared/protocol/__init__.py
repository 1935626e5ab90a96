"""The providers' protocols, sans-I/O: pure functions from a cursor to a request and from a response to a step."""
