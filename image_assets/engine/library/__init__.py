"""What a partition holds: what is current, what is held back, what is removed."""
