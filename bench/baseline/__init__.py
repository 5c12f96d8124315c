"""The baseline: gateway and scaler of the usual design, run beside the stack."""
