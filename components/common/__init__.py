"""Labels, pod templates and names that the components share."""
