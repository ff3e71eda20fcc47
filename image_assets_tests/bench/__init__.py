"""The parts of the benches that are no measurement."""
