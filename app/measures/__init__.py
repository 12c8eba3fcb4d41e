"""What `onboard-vla measure` finds out about a checkpoint: whether it sees, doubts rightly, and gains by thinking."""
