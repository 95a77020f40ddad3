# A number for the simulator's own sources, made anew when one of them changes: what finished points of a sweep are known by,
# beside the version. Included, this file adds the rule; run as a script (-P) it writes OUTPUT for the sources below ROOT.

# The command line is left out: it changes no result.
macro(collapsar_list_sources variable root)
  file(GLOB_RECURSE ${variable} ${ARGN} RELATIVE ${root}
       ${root}/sim/*.h ${root}/sim/*.cc ${root}/models/*.h ${root}/models/*.cc)
  list(FILTER ${variable} EXCLUDE REGEX "^sim/run/(main|cli_[^/]*)\\.")
  list(SORT ${variable})
endmacro()

if(CMAKE_SCRIPT_MODE_FILE)
  collapsar_list_sources(sources ${ROOT})
  set(all "")
  foreach(file IN LISTS sources)
    file(SHA256 ${ROOT}/${file} sum)
    string(APPEND all "${file} ${sum}\n")
  endforeach()
  string(SHA256 digest "${all}")
  string(SUBSTRING ${digest} 0 16 digest)
  file(WRITE ${OUTPUT} "#include \"sim/run/source_digest.h\"

namespace collapsar {

const char* source_digest() { return \"${digest}\"; }

}  // namespace collapsar
")
  return()
endif()

function(collapsar_source_digest library)
  collapsar_list_sources(sources ${PROJECT_SOURCE_DIR} CONFIGURE_DEPENDS)
  list(TRANSFORM sources PREPEND ${PROJECT_SOURCE_DIR}/)
  set(output ${PROJECT_BINARY_DIR}/generated/source_digest.cc)
  add_custom_command(OUTPUT ${output} DEPENDS ${sources} VERBATIM
                     COMMAND ${CMAKE_COMMAND} -DROOT=${PROJECT_SOURCE_DIR} -DOUTPUT=${output}
                             -P ${PROJECT_SOURCE_DIR}/cmake/SourceDigest.cmake)
  target_sources(${library} PRIVATE ${output})
endfunction()
