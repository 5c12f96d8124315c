"""A local cluster that serves: one real node, in namespaces of its own."""
