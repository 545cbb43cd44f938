"""The local cloud: what AWS does for the deployed stack, done on one machine. Never shipped to Lambda."""
