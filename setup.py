"""Builds the C kernels as optional extensions; everything else stands in pyproject.toml.

They are plain shared libraries, loaded through ctypes: no Python or torch headers. Without a compiler the package
installs all the same and runs on its reference kernels. OpenMP is used where the compiler has it.
"""

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
FUSED = ["versions.h", "vectors.h", "reductions.h", "gelu.h", "products.h", "rings.h"]
HEADERS = {
    "selective_scan": ["versions.h", "vectors.h", "selective_scan_rows.h", "selective_scan_body.h"],
    "dg_operator": [
        *("versions.h", "vectors.h", "dg_operator_deal.h", "dg_operator_element.h", "dg_operator_apply.h"),
        *("dg_operator_gradient.h", "dg_operator_body.h", "dg_operator_versions.h", "dg_layer_body.h"),
        *("reductions.h", "gelu.h", "products.h"),
    ],
    "depthwise": ["versions.h", "vectors.h", "reductions.h", "gelu.h", "depthwise_body.h"],
    "pointwise": ["versions.h", "vectors.h", "products.h", "pointwise_body.h"],
    "feed_forward": [*FUSED, "feed_forward_body.h"],
    "attentive_scan": [
        *(*FUSED, "selective_scan_rows.h", "outer_products.h"),
        *("attentive_scan_body.h", "attentive_lift_body.h", "attentive_core_body.h"),
        "attentive_core_gradient_body.h",
    ],
}


def kernel(name: str) -> Extension:
    headers = [f"{FOLDER}/{header}" for header in HEADERS[name]]
    return Extension(
        f"dgno.kernels._{name}", [f"{FOLDER}/{name}.c"], depends=[*headers, f"{FOLDER}/each_version.h"], optional=True
    )


setup(ext_modules=[kernel(name) for name in HEADERS], cmdclass={"build_ext": BuildKernels})
