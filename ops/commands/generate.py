from config.schema.json_schema import main as write_schema
from ops.cli import command
from ops.documents import main as write_documents


@command("generate")
def generate() -> None:
    """Rewrite the JSON schema and the generated parts of the documents."""
    write_schema()
    write_documents()
