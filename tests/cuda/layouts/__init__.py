"""Every algorithm on the same values in many memory layouts: each breaks one condition that a plan asks for.

`problems` are small ones of each operator, `layouts` are the ways in which an array of theirs may lie, and
`trials` puts one through the other: what an algorithm does not take, it refuses with a reason.
"""
