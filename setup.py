"""Builds the C kernels as optional extensions; everything else stands in pyproject.toml.

They are plain shared libraries, loaded through ctypes: no Python or torch headers. Without a compiler the package
installs all the same and runs on its reference kernels. OpenMP is used where the compiler has it.
"""

import runpy
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError

# Never -ffast-math: linked in, it switches denormals off for the whole process.
FLAGS = ["-O3", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi"]


class BuildKernels(build_ext):
    def build_extension(self, extension: Extension) -> None:
        try:
            extension.extra_compile_args = [*FLAGS, "-fopenmp"]
            extension.extra_link_args = ["-fopenmp"]
            super().build_extension(extension)
        except (CompileError, LinkError):
            extension.extra_compile_args, extension.extra_link_args = FLAGS, []
            super().build_extension(extension)

    def get_export_symbols(self, extension: Extension) -> list[str]:
        return []  # no PyInit: these are not Python modules


FOLDER = "src/dgno/kernels"
KERNELS = (
    *("attentive_lift_gradient", "attentive_scan", "convolution", "depthwise", "dg_operator", "feed_forward"),
    *("pointwise", "selective_scan", "uniform"),
)
SOURCES = runpy.run_path(f"{FOLDER}/sources.py")  # dgno itself may not be imported yet
# Every library carries the hash of all sources, and so depends on all of them.
DEPENDS = [f"{FOLDER}/sources.py", *map(str, SOURCES["source_files"](Path(FOLDER)))]
MACROS = [("DGNO_SOURCES", f'"{SOURCES["fingerprint"](Path(FOLDER))}"')]


def kernel(name: str) -> Extension:
    path = f"{FOLDER}/{name}.c"
    return Extension(f"dgno.kernels._{name}", [path], define_macros=MACROS, depends=DEPENDS, optional=True)


setup(ext_modules=[kernel(name) for name in KERNELS], cmdclass={"build_ext": BuildKernels})
