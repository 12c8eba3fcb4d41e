"""Block programs of the hot paths and their NumPy references, which define what each kernel computes."""
