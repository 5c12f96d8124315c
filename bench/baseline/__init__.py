"""The usual design's literal gateway and scaler, run beside the stack to be measured against."""
