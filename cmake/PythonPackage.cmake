# The Python package, usable from the build tree: PYTHONPATH=build/<preset>/python. Module name: collapsar._collapsar.

set(package_dir ${PROJECT_BINARY_DIR}/python/collapsar)
set(package_source ${PROJECT_SOURCE_DIR}/python/collapsar)

file(GLOB module_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/python/*.cc)
if(module_sources)
  pybind11_add_module(collapsar_python MODULE NO_EXTRAS ${module_sources})
  target_link_libraries(collapsar_python PRIVATE sim_run)
  collapsar_batches(collapsar_python ${module_sources})
  collapsar_link_time_optimisation(collapsar_python ON)
  set_target_properties(collapsar_python PROPERTIES
    OUTPUT_NAME _collapsar
    LIBRARY_OUTPUT_DIRECTORY ${package_dir})
endif()

# Copied at each build where they changed; new files at the configure step that the glob starts.
file(GLOB_RECURSE package_files CONFIGURE_DEPENDS RELATIVE ${package_source}
     ${package_source}/*.py ${package_source}/*.pyi ${package_source}/py.typed)
foreach(file IN LISTS package_files)
  add_custom_command(OUTPUT ${package_dir}/${file} DEPENDS ${package_source}/${file} VERBATIM
                     COMMAND ${CMAKE_COMMAND} -E copy ${package_source}/${file} ${package_dir}/${file})
endforeach()
list(TRANSFORM package_files PREPEND ${package_dir}/ OUTPUT_VARIABLE package_copies)
add_custom_target(collapsar_python_files ALL DEPENDS ${package_copies})
