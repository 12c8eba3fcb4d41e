"""From a checkpoint to a bundle: readers, ONNX graph writers, INT8, verification, bundle writing."""
