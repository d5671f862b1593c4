"""Stands for the package of the broker that the tests of paho-mqtt start."""
