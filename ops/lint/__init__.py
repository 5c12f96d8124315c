"""Rules of this project's text that no linter knows; `make lint` checks them."""
