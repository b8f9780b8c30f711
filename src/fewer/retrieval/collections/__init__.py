"""Collections to measure search on: documents and queries as sparse vectors, real and made up."""
