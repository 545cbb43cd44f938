"""Items as people give them, and the lines that come back: shared by the stages, importing only what lies below.

`lines` says where a record ends, for the planner that cuts and for those who read. `parsing` makes an item of a
record; `columns` knows the CSV header and `uris` what an item may point at. `dead_letters` writes the lines of the
parts. `manifest` and `folder` read the other two things that a job may be started with.
"""
