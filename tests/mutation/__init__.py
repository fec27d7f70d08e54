"""Mutation tests: break one line of the program, and see whether a test notices."""
