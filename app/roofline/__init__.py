"""`onboard-vla roofline`: what a machine could do at best with a model, and what this one does."""
