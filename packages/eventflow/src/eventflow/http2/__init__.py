"""Unary gRPC calls over one HTTP/2 connection, most of whose bytes never change."""
