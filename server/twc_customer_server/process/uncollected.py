"""Stops the garbage collector for what is imported after this module, none of which is garbage.

To look at it takes a sixth of the time of a start. `interpreter.keep_imports` has the collector
begin.
"""

import gc

gc.disable()
