"""A search page and an API over indexes of texts; needs the extra `search`."""
