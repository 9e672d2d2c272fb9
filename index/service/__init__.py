"""The service: an index that answers over HTTP."""
