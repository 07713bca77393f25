"""The import path under which scripts know the running of recipes; all work is done by `keyhole`."""
