"""Data that games draw from."""
