"""A stand-in for Pulumi's AWS provider: exactly the types and functions that the program declares.

It shows what the engine hands to a provider and in which order. It is no proof about AWS: the real
provider and the real API may differ from it, and it knows only the rules that are written in it,
each with its source. A type, a function or a property of a function that is not known is refused.

`python -m tests.standin_aws` serves it as a Pulumi plugin. Its world is the JSON file that
`STANDIN_AWS_WORLD` names; `World` reads and changes it from a test.
"""
