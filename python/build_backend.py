"""A PEP 517 back end without requirements: CMake builds and installs, this packs what was installed into a wheel.

The wheel holds the package, the program, the configs and the traces that they name.
"""

import base64
import hashlib
import os
import pathlib
import re
import stat
import subprocess
import sys
import sysconfig
import tempfile
import zipfile

SOURCE = pathlib.Path(__file__).resolve().parent.parent
NAME = "collapsar"

METADATA = """Metadata-Version: 2.1
Name: {name}
Version: {version}
Summary: MMU simulator with Linux's khugepaged inside
License: BSD-3-Clause
Requires-Python: >=3.9
Requires-Dist: numpy
Provides-Extra: frames
Requires-Dist: pandas; extra == "frames"
"""

WHEEL = """Wheel-Version: 1.0
Generator: collapsar
Root-Is-Purelib: false
Tag: {tag}
"""


def get_requires_for_build_wheel(config_settings=None):
    return []


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    with tempfile.TemporaryDirectory() as folder:
        prefix = pathlib.Path(folder, "prefix")
        _build_and_install(pathlib.Path(folder, "build"), prefix)
        name = f"{NAME}-{_version()}-{_tag()}.whl"
        _pack(prefix, pathlib.Path(wheel_directory, name))
    return name


def _build_and_install(build, prefix):
    options = {
        "CMAKE_BUILD_TYPE": "Release",
        "CMAKE_CXX_FLAGS_RELEASE": "-O2",
        "CMAKE_INSTALL_BINDIR": "bin",
        "CMAKE_INSTALL_DATADIR": "share",
        "COLLAPSAR_PYTHON_DIR": "package",
        "COLLAPSAR_TESTS": "OFF",
        "Python_EXECUTABLE": sys.executable,
    }
    defines = [f"-D{name}={value}" for name, value in options.items()]
    subprocess.run(["cmake", "-S", SOURCE, "-B", build, "-G", "Ninja", *defines], check=True)
    subprocess.run(["cmake", "--build", build, "--parallel", str(os.cpu_count() or 1)], check=True)
    subprocess.run(["cmake", "--install", build, "--prefix", prefix], check=True)


def _version():
    """That of the CMake project."""
    return re.search(r"project\(collapsar VERSION ([0-9.]+)", (SOURCE / "CMakeLists.txt").read_text())[1]


def _tag():
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    return f"{python}-{python}-{re.sub('[-.]', '_', sysconfig.get_platform())}"


def _pack(prefix, wheel):
    """Wheel folders by what pip does with them: the top goes to site-packages, scripts to bin, data to the prefix."""
    dist = f"{NAME}-{_version()}"
    places = {"package": "", "bin": f"{dist}.data/scripts/", "share": f"{dist}.data/data/share/"}
    files = {
        place + file.relative_to(prefix / folder).as_posix(): file.read_bytes()
        for folder, place in places.items()
        for file in sorted((prefix / folder).rglob("*"))
        if file.is_file()
    }
    files[f"{dist}.dist-info/METADATA"] = METADATA.format(name=NAME, version=_version()).encode()
    files[f"{dist}.dist-info/WHEEL"] = WHEEL.format(tag=_tag()).encode()
    record = "".join(f"{path},sha256={_digest(content)},{len(content)}\n" for path, content in files.items())
    files[f"{dist}.dist-info/RECORD"] = f"{record}{dist}.dist-info/RECORD,,\n".encode()
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            entry = zipfile.ZipInfo(path)  # dated 1980, so that equal files give equal wheels
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (stat.S_IFREG | (0o755 if "/scripts/" in path else 0o644)) << 16
            archive.writestr(entry, content)


def _digest(content):
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
