from faces.core import threads

threads.settle()  # before torch is loaded
