"""Tests are the specification: the file names the subject, the function the rule, the body an example."""
