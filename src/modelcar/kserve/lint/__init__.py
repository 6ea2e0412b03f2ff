"""What is wrong with KServe's objects in YAML files: by line, with the fix."""
