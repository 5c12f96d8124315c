from ops.cli import command
from ops.lint.rules import check, read_files
from ops.stack.environment import PROJECT


@command("lint")
def lint() -> None:
    """Check the text of Python and Markdown files."""
    findings = check(read_files(PROJECT))
    for finding in findings:
        print(finding)
    raise SystemExit(1 if findings else 0)
