"""References, search and answers."""

from index.search import Index

__all__ = ["Index"]
