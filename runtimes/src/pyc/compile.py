# Compiles the sources named in /exchange/list, one after the other, for the places that they have in the image.
import os
import py_compile
import sys

work = os.path.dirname(os.path.abspath(__file__))
if os.environ.get("PYTHONHASHSEED") != "0":
    # -I ignores the environment, so that the second start goes without it. What marshal writes depends on which
    # strings the process shares, and so on how its own modules were loaded: always from their sources, whether or
    # not they have been compiled already.
    fresh = ["-X", "pycache_prefix=" + os.path.join(work, "none")]
    arguments = [sys.executable, "-s", "-S", "-B", *fresh, os.path.join(work, "compile.py")]
    os.execve(sys.executable, arguments, {"PYTHONHASHSEED": "0"})

tag = sys.implementation.cache_tag
with open(os.path.join(work, "list"), encoding="utf-8") as names:
    for name in names.read().splitlines():
        directory, source = os.path.split(name)
        py_compile.compile(
            os.path.join(work, "source", name),
            cfile=os.path.join(work, "out", directory, "__pycache__", f"{source[:-3]}.{tag}.pyc"),
            dfile="/" + name,
            doraise=True,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
