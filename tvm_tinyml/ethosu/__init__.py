"""Arm Ethos-U: command streams made by Vela, and a functional model that runs those of U55 and U65 without an NPU."""
