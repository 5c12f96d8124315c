"""The stack and its objects: identity, marks, content-named objects and drift."""
