"""The parts that are compiled: for CPython 3.11 and every later one, by its stable interface."""

from __future__ import annotations

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            f"fustor_native.{part}",
            [f"fustor_native/{part}.c"],
            define_macros=[("Py_LIMITED_API", "0x030B0000")],
            depends=["fustor_native/row.h"],
            py_limited_api=True,
        )
        for part in ("_reading", "_listings")
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
