"""One file, one DVC stage, same name: read the inputs, call the library, write the outputs."""
