"""The one native extension; everything else about the package is in pyproject.toml."""

import os
from pathlib import Path

from setuptools import Extension, setup

flags = os.environ.get("GEODNS_NATIVE_CFLAGS", "-O2").split()
setup(
    ext_modules=[
        Extension(
            "geodns.fastpath.native",
            ["geodns/fastpath/native.pyx"],
            depends=sorted(map(str, Path("geodns/fastpath").glob("*.pxi"))),
            extra_compile_args=flags,
            extra_link_args=[flag for flag in flags if flag.startswith("-fsanitize")],
            # Without a compiler the pure path serves, unless the native one is asked for.
            optional=os.environ.get("GEODNS_REQUIRE_NATIVE") != "1",
        )
    ]
)
