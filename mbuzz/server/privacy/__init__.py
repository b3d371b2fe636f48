"""What people may ask of their data: erasing, exporting, and an end to keeping it.

A room of its own, since it goes through all that tracking keeps and reporting reads,
and neither of them has to know of it but by what is suppressed, sealed or frozen.
"""
