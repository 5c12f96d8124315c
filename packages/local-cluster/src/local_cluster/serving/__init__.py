"""The mode `serving`: one real node in namespaces of its own."""
