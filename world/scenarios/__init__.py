"""Driving scenarios as data: road, road users and what must hold, for closed-loop tests of whoever drives."""
