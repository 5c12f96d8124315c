from config.schema.json_schema import main as write_schema
from ops.cli import command
from ops.documents import main as write_documents


@command("generate")
def generate() -> None:
    """Rewrite the JSON schema and the documents' generated parts."""
    write_schema()
    write_documents()
