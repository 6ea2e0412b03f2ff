"""What is wrong with KServe's objects in YAML files: by line, with the fix.

result = lint([Text("isvc.yaml", content)], Aim())
for finding in result.findings: ...
"""

from modelcar.kserve.lint.catalog import Rule, Severity
from modelcar.kserve.lint.findings import Edit, Finding
from modelcar.kserve.lint.objects import Aim
from modelcar.kserve.lint.run import Result, Text, lint

__all__ = ["Aim", "Edit", "Finding", "Result", "Rule", "Severity", "Text", "lint"]
