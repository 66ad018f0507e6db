"""Servers, clients and scenarios of the pacing simulation."""
