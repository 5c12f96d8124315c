"""The sections of the parameters, one file each."""
