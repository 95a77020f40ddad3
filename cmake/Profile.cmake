# What every reference passes, compiled by a profile: the compiler learns from a run of training/ which ways are taken, and lays
# the code out for them. Results stay the same, bit for bit.
#
# The hot files are compiled twice. As collapsar_training, which counts; its run leaves the counts in the build folder; and for
# use, when the counts are there. Both have the same name for what they know of each other (-dumpdir, -dumpbase).

set(profile_dir ${PROJECT_BINARY_DIR}/profile)
# Without what makes copies of code for the sake of branches: all that a walk passes then fits the L1I of a host (tests/bench/README.md).
set(collapsar_hot_options -O3 $<$<CXX_COMPILER_ID:GNU>:-fno-tracer> -fno-unroll-loops $<$<CXX_COMPILER_ID:GNU>:-fno-peel-loops>)
set(profile_names -dumpdir ${profile_dir}/ -dumpbase hot)

# collapsar_hot_code(<library> FILES <file>... USES <library>...): objects of one compilation
function(collapsar_hot_code library)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "" "FILES;USES")
  set_source_files_properties(${ARG_FILES} PROPERTIES UNITY_GROUP hot)
  add_library(${library} OBJECT ${ARG_FILES})
  target_link_libraries(${library} PUBLIC collapsar_compiler ${ARG_USES})
  if(CMAKE_BUILD_TYPE STREQUAL Release)
    target_compile_options(${library} PRIVATE ${collapsar_hot_options})
  endif()
  collapsar_batches(${library} ${ARG_FILES})
endfunction()

# collapsar_profile(<hot library> BY <program> FOLDER <folder> USES <library>...): the hot library is compiled by what <program> counts
# when it runs <folder>/<folder>.yaml
function(collapsar_profile library)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL GNU OR CMAKE_CROSSCOMPILING)
    message(STATUS "No profile of what references pass: it needs GCC, and a program that can run here")
    return()
  endif()
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "BY;FOLDER" "USES")
  get_target_property(files ${library} SOURCES)
  get_target_property(uses ${library} LINK_LIBRARIES)
  collapsar_hot_code(${ARG_BY}_objects FILES ${files} USES ${uses})
  target_compile_options(${ARG_BY}_objects PRIVATE ${profile_names} -fprofile-generate -fprofile-update=single)

  add_executable(${ARG_BY} ${PROJECT_SOURCE_DIR}/${ARG_FOLDER}/${ARG_FOLDER}.cc)
  target_link_libraries(${ARG_BY} PRIVATE ${ARG_BY}_objects ${ARG_USES})
  target_link_options(${ARG_BY} PRIVATE -fprofile-generate)

  set(counts ${profile_dir}/hot.gcda)
  set(run ${PROJECT_SOURCE_DIR}/${ARG_FOLDER}/${ARG_FOLDER}.yaml)
  add_custom_command(OUTPUT ${counts} DEPENDS $<TARGET_OBJECTS:${ARG_BY}_objects> ${run} VERBATIM
                     COMMAND ${CMAKE_COMMAND} -E rm -f ${counts}
                     COMMAND ${ARG_BY} ${run}
                     COMMENT "Training run: what references pass")
  add_custom_target(${library}_profile DEPENDS ${counts})
  add_dependencies(${library} ${library}_profile)
  target_compile_options(${library} PRIVATE ${profile_names} -fprofile-use)
endfunction()
