# Compiles the sources named in /run/build/sources, so that no start of the app has to.
#
# In one process, with the same seed for the order of sets, and with its own modules loaded from their sources: what marshal
# writes depends on which strings the process shares. Neither the times nor the bytes of a source are compared when it is
# imported (PEP 552, unchecked hash-based). What does not compile stays as it is: packages carry templates and examples.
import os
import py_compile
import sys

tag = sys.implementation.cache_tag
with open("/run/build/sources", encoding="utf-8") as names:
    for name in names.read().splitlines():
        directory, source = os.path.split(name)
        target = os.path.join(directory, "__pycache__", f"{source[:-3]}.{tag}.pyc")
        try:
            mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
            py_compile.compile(name, cfile=target, dfile=name, doraise=True, invalidation_mode=mode)
        except (py_compile.PyCompileError, OSError, ValueError, RecursionError):
            try:
                os.remove(target)
            except OSError:
                pass
