"""What bench/run measures: one module a figure in figures/, what is measured in subjects/."""
