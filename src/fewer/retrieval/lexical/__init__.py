"""Search by the words themselves: tokens, and BM25 as sparse vectors."""
