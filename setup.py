"""Builds the compiled modules where a C compiler and Python's headers are, and says in one line what it did.

Without either the package works just the same in plain Python, slower: each module that may be compiled has
a Python source, which Python imports where no extension of the same name stands beside it.
"""

from __future__ import annotations

import os
import runpy
import tempfile
from pathlib import Path

from Cython.Build import cythonize
from setuptools import setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

ROOT = Path(__file__).parent
#: What `evometrics --version` says, too; the package can't be imported yet.
REMEDY = runpy.run_path(str(ROOT / "schemas" / "service" / "compiled.py"))["REMEDY"]


class BuildCompiled(build_ext):
    """Compiles the modules where that is possible."""

    def finalize_options(self) -> None:
        """Let Cython find `.pxd` files by package, as Python will find the modules."""
        super().finalize_options()
        include = tempfile.mkdtemp()
        Path(include, "evometrics").symlink_to(ROOT, target_is_directory=True)
        self.cython_include_dirs = [include]

    def build_extensions(self) -> None:
        """Build all or none: some call others in C."""
        reason = self.lacking()
        if reason is None:
            self.write_c()
            self.parallel = os.cpu_count()  # of processes that compile C, which takes most of the time
            super().build_extensions()
        built = {ext.name: Path(self.get_ext_fullpath(ext.name)) for ext in self.extensions}
        missing = [name for name, file in built.items() if not file.exists()]
        if not missing:
            print(f"evometrics: compiled, {len(built)} modules")
            return
        for file in built.values():
            file.unlink(missing_ok=True)
        print(f"evometrics: plain Python: {reason or 'could not compile ' + ', '.join(missing)}; {REMEDY}")

    def write_c(self) -> None:
        """Have Cython write all C files, which threads could not: by itself it would, module by module."""
        written = cythonize(self.extensions, force=self.force, include_path=self.cython_include_dirs)
        for extension, found in zip(self.extensions, written, strict=True):
            extension.sources = found.sources

    def lacking(self) -> str | None:
        """Return what is missing to compile anything, None where nothing is."""
        compiler = str(self.compiler.compiler[0])
        with tempfile.TemporaryDirectory() as folder:
            for source, what in (
                ("int x;", f"{compiler} does not compile"),
                ("#include <Python.h>", "no Python.h"),
            ):
                file = Path(folder, "try.c")
                file.write_text(source)
                try:
                    self.compiler.compile([str(file)], output_dir=folder, include_dirs=self.include_dirs)
                except CompileError:
                    return what
        return None


setup(cmdclass={"build_ext": BuildCompiled})
