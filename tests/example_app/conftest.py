"""What is left out where a program is missing that no Python package brings."""

import shutil

collect_ignore = [] if shutil.which("node") and shutil.which("npm") else ["test_typescript.py"]
