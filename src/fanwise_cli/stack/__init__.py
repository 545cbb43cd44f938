"""The commands that work on a deployed stack, or on what `fanwise up` serves: the same code, told where by boto3.

`connection` finds the stack by its name; everything else works on what it answers. Objects are read through
`fanwise.storage`, as the handlers read them; boto3 is asked for the rest, and imported only here.
"""
