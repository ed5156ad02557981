"""Speed and memory, side by side with a plain reference loop in one run. Never part of the tests: a shared
machine's clock proves nothing.
"""

from faces.core import threads

threads.settle()  # before torch is loaded
