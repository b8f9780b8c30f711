"""Vectors handed on to other engines, through their own clients: OpenSearch and Qdrant."""

from fewer.retrieval.push.opensearch import opensearch_query, push_opensearch
from fewer.retrieval.push.pushing import Pushed, Refused
from fewer.retrieval.push.qdrant import push_qdrant, qdrant_query

__all__ = ["Pushed", "Refused", "opensearch_query", "push_opensearch", "push_qdrant", "qdrant_query"]
