"""Search over texts: where they come from, and the index that holds them with their vectors."""
