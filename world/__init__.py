"""The small deterministic driving world: road, traffic, expert, six-camera renderer, sensor model and vehicle."""
