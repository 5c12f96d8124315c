class LocalClusterError(Exception):
    """What stops the local cluster from being up or down; its text is the whole message."""


class StartError(LocalClusterError):
    """The control plane did not come up because one of its processes ended."""
