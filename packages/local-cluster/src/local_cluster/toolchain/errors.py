class ToolchainError(Exception):
    """What stopped a tool from being made ready; its text is the whole message for the user."""
