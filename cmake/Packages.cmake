# The packages the project builds on, all from Debian 12. What is missing stops the configure step with the line that helps.

# collapsar_find(<package> APT <debian package> <arguments of find_package>...)
macro(collapsar_find package apt_word debian_package)
  find_package(${package} ${ARGN} QUIET)
  if(NOT ${package}_FOUND)
    message(FATAL_ERROR "collapsar needs ${package}, which was not found.\n"
                        "Install it with:  apt-get install ${debian_package}\n"
                        "or everything at once with:  ./setup.sh build")
  endif()
endmacro()

set(THREADS_PREFER_PTHREAD_FLAG ON)
collapsar_find(Threads APT g++)
collapsar_find(Boost APT libboost-program-options-dev 1.74 CONFIG COMPONENTS program_options)
collapsar_find(fmt APT libfmt-dev 9.1 CONFIG)
collapsar_find(yaml-cpp APT libyaml-cpp-dev 0.7 CONFIG)
collapsar_find(zstd APT libzstd-dev 1.5 CONFIG)
collapsar_find(ZLIB APT zlib1g-dev 1.2)
collapsar_find(LibLZMA APT liblzma-dev 5.2)
collapsar_find(BZip2 APT libbz2-dev 1.0)
collapsar_find(Minizip APT libminizip-dev)  # cmake/FindMinizip.cmake
collapsar_find(nlohmann_json APT nlohmann-json3-dev 3.11 CONFIG)
collapsar_find(tsl-robin-map APT robin-map-dev 1.2 CONFIG)

if(NOT TARGET yaml-cpp::yaml-cpp)  # the name came with yaml-cpp 0.8
  add_library(yaml-cpp::yaml-cpp ALIAS yaml-cpp)
endif()

if(COLLAPSAR_TESTS)
  collapsar_find(GTest APT "libgtest-dev libgmock-dev" 1.12 CONFIG)
  collapsar_find(benchmark APT libbenchmark-dev 1.7 CONFIG)
endif()

if(COLLAPSAR_PYTHON)
  include(ChoosePython)
  collapsar_choose_python()
  collapsar_find(Python APT python3-dev 3.9 COMPONENTS Interpreter Development.Module)
  set(PYBIND11_FINDPYTHON ON)
  collapsar_find(pybind11 APT pybind11-dev 2.10 CONFIG)
elseif(COLLAPSAR_TESTS)
  find_package(Python 3.9 QUIET COMPONENTS Interpreter)  # the include-table test needs only the interpreter
endif()
