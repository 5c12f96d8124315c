"""`python -m eventflow`."""

import sys


def main() -> None:
    """Run the command line; what a user can mend is said in one line."""
    try:
        from eventflow.cli import app
        from eventflow.errors import EventFlowError

        try:
            app()
        except EventFlowError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
