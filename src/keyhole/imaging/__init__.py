"""What can be computed: pure functions on arrays.

Data and variance are float32 ``(ny, nx)``, masks are uint16 quality bits (see `keyhole.imaging.bits`), units
are electrons unless a function says otherwise. Nothing here knows a file, a header, a frame or a logger, and
no function changes its arguments.
"""
