"""How fast and how small a build is, beside other ways to make the same image, all on loopback in one run.

`python -m benchmarks` measures everything; `python -m benchmarks.build`, `.pull`, `.read` one part;
`--quick` is a small run.
"""
