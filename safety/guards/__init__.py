"""Plan and input guards. Each returns reasons with the measured value and the limit it was held against."""
