"""Pure functions from parameters to what the components declare; no pulumi here."""
