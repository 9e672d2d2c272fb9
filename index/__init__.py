"""References, search and answers."""

from index.explain import Explanation, best_rival, explain
from index.search import Index

__all__ = ["Explanation", "Index", "best_rival", "explain"]
