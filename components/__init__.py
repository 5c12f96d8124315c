"""The components that the program is made of, one per part of the stack."""
