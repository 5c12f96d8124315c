"""Entry point of `python -m eventflow` and of the console script."""

import sys


def main() -> None:
    """Run the command line; print an `EventFlowError` as one line, without a traceback."""
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
