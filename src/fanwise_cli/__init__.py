"""The command `fanwise`: what a person types, around the state machine that does the work."""
