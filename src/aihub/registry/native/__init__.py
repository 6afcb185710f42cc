"""Structural validators of native model files: the libraries' own parsers abort the process on many corrupt files."""
