"""Test-side tools: a .tflite writer, the LiteRT oracle, single-operator models and file mutations."""
