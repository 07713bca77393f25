"""The import path under which scripts know the choosing of frames and their logs; all work is done by `keyhole`."""
