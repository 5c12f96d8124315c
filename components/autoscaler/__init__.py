"""The scaler of an inference stack, and KEDA, which runs the scaler."""
