"""Processes that render: one image at a time each, memory granted, deadlines kept."""
