"""Other people's files: vectors, runs, judgements and collections, read and written."""
