"""Security: what hostile callers, providers and stored data can not do. infra/SECURITY.md names these tests."""
