"""The bundled tasks: problems drawn from a seed, each with a question, a rationale and an answer."""
