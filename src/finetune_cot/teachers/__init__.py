"""Whatever writes completions: local models, servers, human rationales."""
