"""Readers are given anything, for as long as wanted; see __main__."""
