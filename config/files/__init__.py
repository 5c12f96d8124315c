"""The reader of Pulumi's stack files."""
