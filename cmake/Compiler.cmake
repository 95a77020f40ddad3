# How every file of the project is compiled. The same sources give the same results, bit for bit, in every preset.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ${COLLAPSAR_PYTHON})  # the libraries end up in the Python module, too
set(CMAKE_CXX_VISIBILITY_PRESET hidden)                   # so calls inside the module stay direct
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Release, Debug, ..." FORCE)
endif()

find_program(COLLAPSAR_CCACHE ccache)
mark_as_advanced(COLLAPSAR_CCACHE)
if(COLLAPSAR_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${COLLAPSAR_CCACHE})
endif()

add_library(collapsar_compiler INTERFACE)
target_include_directories(collapsar_compiler INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_definitions(collapsar_compiler INTERFACE COLLAPSAR_VERSION="${PROJECT_VERSION}")
target_compile_options(collapsar_compiler INTERFACE
  -Wall -Wextra -Wpedantic -Wnon-virtual-dtor -Woverloaded-virtual
  -ffp-contract=off)  # no fused multiply-add: it would round differently where the compiler may use it
if(NOT COLLAPSAR_BATCHES)  # in a batch, a name may well be that of another file; preset dev has each file by itself
  target_compile_options(collapsar_compiler INTERFACE -Wshadow)
endif()
if(COLLAPSAR_WERROR)
  target_compile_options(collapsar_compiler INTERFACE -Werror)
endif()
if(COLLAPSAR_SANITIZE)
  set(collapsar_sanitize -fsanitize=${COLLAPSAR_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_compile_options(collapsar_compiler INTERFACE ${collapsar_sanitize})
  target_link_options(collapsar_compiler INTERFACE ${collapsar_sanitize})
endif()

# Objects hold machine code beside what link-time optimisation needs: the many test programs link the plain way, quickly.
if(COLLAPSAR_LTO)
  target_compile_options(collapsar_compiler INTERFACE -flto=auto -ffat-lto-objects)
endif()
function(collapsar_link_time_optimisation target wanted)
  if(COLLAPSAR_LTO AND wanted)
    target_link_options(${target} PRIVATE -flto=auto -O2)
  elseif(COLLAPSAR_LTO)
    target_link_options(${target} PRIVATE -fno-lto)
  endif()
endfunction()
