"""Small networks that are trained where they are needed, and kept in the cache folder."""
