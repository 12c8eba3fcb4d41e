"""Types, wire schema, geometry, prompt, codebook and errors that cross the walls between rooms. NumPy only."""
