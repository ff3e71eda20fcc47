"""What is to be done: settings, presets, recipes, the machine and the plan made of them."""
