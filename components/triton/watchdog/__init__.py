"""The watchdog of one replica: a program for Triton's container."""
