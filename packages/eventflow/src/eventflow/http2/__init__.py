"""An HTTP/2 client for unary gRPC calls, most bytes of which are the same in every call."""
