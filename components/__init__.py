"""The components of the program, one room for each part of the stack."""
