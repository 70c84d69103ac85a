"""The house's own rules as tests: a rule is a check or it is a wish."""
