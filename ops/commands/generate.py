from config.schema.json_schema import main as write_schema
from ops.cli import command
from ops.readme import main as write_readme


@command("generate")
def generate() -> None:
    """Rewrite the JSON schema and the generated README parts."""
    write_schema()
    write_readme()
