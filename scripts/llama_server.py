"""llama.cpp's server for one GGUF file, on a free port of loopback. Prints its address, and ends with its stdin.

llama_server.py FILE
"""

import sys

import xllamacpp


def main() -> None:
    """Serve until whoever started this closes our stdin, or is gone."""
    params = xllamacpp.CommonParams()
    params.model.path = sys.argv[1]
    params.hostnames = ["127.0.0.1"]
    params.n_ctx = 512
    params.verbosity = 0
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
