"""The block page: why a sinkholed name does not open, told over plain HTTP."""
