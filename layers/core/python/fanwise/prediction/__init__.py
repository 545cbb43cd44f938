"""The stage that predicts: one invocation, one entry, one commit.

`batch.predict_batch` is the invocation; `pipeline` fetches and decodes ahead of the model; `parts` gathers the
lines that are written; `kept` is what an execution environment keeps between invocations.
"""
