"""The Python SDK of Headrace."""
