class ToolchainError(Exception):
    """Failure to provide a tool; its text is the whole message for the user."""
